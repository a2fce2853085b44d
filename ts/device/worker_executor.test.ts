import { beforeEach, describe, expect, it } from 'vitest';
import { messageOf, type NamedBuffer, namedBuffer } from '../../tests/support/worker_message.ts';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import type { Rows } from './device.ts';
import type { WorkerCommand } from './worker_commands.ts';
import { CommandExecutor } from './worker_executor.ts';
import type { Answer } from './worker_protocol.ts';

let device: CpuDevice;
let executor: CommandExecutor;

beforeEach(async () => {
  device = new CpuDevice('worker:7', compileCpuModule);
  await device.ready();
  executor = new CommandExecutor(device, (reply) => {
    throw new Error(`expected nothing to be told before the end, got ${JSON.stringify(reply)}`);
  });
});

async function run(...commands: readonly WorkerCommand[]): Promise<readonly Answer[]> {
  return (await executor.run(messageOf(commands))).answers;
}

type Four = [NamedBuffer, NamedBuffer, NamedBuffer, NamedBuffer];

const [a, b] = [namedBuffer(1), namedBuffer(2)];
const rowsOf = (buffer: NamedBuffer, length = 2): Rows => ({ buffer, offset: 0, stride: length });
const read = (buffer: NamedBuffer, length = 2): WorkerCommand => ({
  operation: 'readRows',
  source: rowsOf(buffer, length),
  rowLength: length,
  rows: 1,
});
const allocate = ({ number }: NamedBuffer, length = 2): WorkerCommand => ({
  operation: 'allocate',
  buffer: number,
  length,
});
const release = ({ number }: NamedBuffer): WorkerCommand => ({ operation: 'release', buffer: number });
const fill = (target: NamedBuffer, value: number): WorkerCommand => ({ operation: 'fill', target, value });
const add = (a: NamedBuffer, b: NamedBuffer, target: NamedBuffer): WorkerCommand => ({
  operation: 'add',
  ...{ a, b, target },
});
/** Fails, for these are no sums. */
const spoil = (dweight: NamedBuffer): WorkerCommand => ({
  operation: 'backwardParameters',
  ...{ sums: new Uint8Array(3), statistics: a, dweight },
});

describe('commands', () => {
  it('run in order, with buffers and arrays in the place of references', async () => {
    const answers = await run(
      allocate(a),
      allocate(b),
      { operation: 'writeRows', values: Float32Array.of(1, 2), target: rowsOf(a), rowLength: 2, rows: 1 },
      fill(b, 0.5),
      add(a, b, b),
      read(b),
    );
    expect(answers).toEqual([{ ticket: 6, value: Float32Array.of(1.5, 2.5) }]);
  });

  it.each([Number.NaN, Infinity, -Infinity, -0, 0.1])('carry the number %d', async (value) => {
    const answers = await run(allocate(a), fill(a, value), read(a));
    expect(answers).toEqual([{ ticket: 3, value: Float32Array.of(value, value) }]);
  });

  it('give memory back', async () => {
    await run(allocate(a), release(a));
    expect(device.memoryUsage().buffers).toBe(0);
  });
});

describe('a command that fails', () => {
  it('is told to whoever reads what depends on it, and to nobody else', async () => {
    const answers = await run(allocate(a), fill(a, 1), allocate(b), spoil(b), add(a, b, b), read(a), read(b));
    expect(answers).toMatchObject([
      { ticket: 6, value: Float32Array.of(1, 1) },
      { ticket: 7, operation: 'backwardParameters', failure: { name: 'PartialError' } },
    ]);
  });

  it('spoils its outputs alone: what it read stays good', async () => {
    const answers = await run(allocate(a), fill(a, 1), allocate(b), spoil(b), read(a), read(b));
    expect(answers).toMatchObject([
      { ticket: 5, value: Float32Array.of(1, 1) },
      { ticket: 6, operation: 'backwardParameters', failure: { name: 'PartialError' } },
    ]);
  });

  it('is forgotten with the buffer it spoiled', async () => {
    const answers = await run(allocate(a), allocate(b), spoil(b), release(b), allocate(b), fill(b, 2), read(b));
    expect(answers).toMatchObject([{ value: Float32Array.of(2, 2) }]);
  });

  it('for want of memory is told as such, and spoils nothing else', async () => {
    device.memoryLimit = 64;
    const answers = await run(allocate(a), fill(a, 1), allocate(b), add(a, b, b), read(a), read(b));
    expect(answers).toMatchObject([
      { ticket: 5, value: Float32Array.of(1, 1) },
      { ticket: 6, operation: 'allocate', failure: { name: 'OutOfMemoryError', bytesWanted: 8, bytesInUse: 64 } },
    ]);
    device.memoryLimit = Infinity;
    expect(await run(release(b), allocate(b), fill(b, 2), read(b))).toMatchObject([{ value: Float32Array.of(2, 2) }]);
  });

  it('for want of memory leaves the running statistics as they were', async () => {
    const [mean, variance, nextMean, nextVariance] = [3, 4, 5, 6].map(namedBuffer) as Four;
    const [statistics, y] = [namedBuffer(7), namedBuffer(8)];
    await run(...[mean, variance, nextMean, nextVariance, statistics].map((buffer) => allocate(buffer, 4)));
    await run(fill(mean, 3), fill(variance, 5), fill(nextMean, 0), fill(nextVariance, 0));
    device.memoryLimit = 1;
    const layout = { samples: 1, channels: 4, length: 2, format: 'contiguous' } as const;
    const running = { mean, variance, nextMean, nextVariance, momentum: 0.1, correction: 1 };
    const answers = await run(
      allocate(y, 8),
      { operation: 'batchNorm', x: mean, y, layout, numerics: 'stable', eps: 1, statistics, ...running },
      ...[nextMean, nextVariance, statistics].map((buffer) => read(buffer, 4)),
    );
    expect(answers).toMatchObject([
      { value: Float32Array.of(3, 3, 3, 3) },
      { value: Float32Array.of(5, 5, 5, 5) },
      { operation: 'allocate', failure: { name: 'OutOfMemoryError' } },
    ]);
  });

  it('by a trap ends everything: what comes after it does not run', async () => {
    device.lose('fill', { cause: new Error('a kernel has trapped'), shapes: '2 values' });
    expect(await executor.run(messageOf([fill(a, 1), read(a)]))).toMatchObject({
      answers: [],
      lost: { operation: 'fill', shapes: '2 values', failure: { message: 'a kernel has trapped' } },
    });
  });
});

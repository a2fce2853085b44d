import { beforeEach, describe, expect, it } from 'vitest';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import { encodeCommand } from './worker_codec.ts';
import { CommandExecutor } from './worker_executor.ts';
import type { Answer, Operation, Part, Reply } from './worker_protocol.ts';

/** A buffer as the calling side names it. */
class Named {
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
}

let device: CpuDevice;
let executor: CommandExecutor;

beforeEach(async () => {
  device = new CpuDevice('worker:7', compileCpuModule);
  await device.ready();
  executor = new CommandExecutor(device, (reply) => {
    throw new Error(`expected nothing to be told before the end, got ${JSON.stringify(reply)}`);
  });
});

type Command = readonly [operation: Operation, ...args: unknown[]];

/** Runs commands as one message; tickets are their places, from 1, where a result is awaited. */
async function runFor(commands: readonly Command[]): Promise<Reply> {
  const awaited = new Set<Operation>(['readRows', 'moments', 'deviations']);
  const parts: Part[] = [];
  const lines = commands.map(([operation, ...args], i) =>
    encodeCommand(operation, awaited.has(operation) ? i + 1 : 0, args, parts, (value) =>
      value instanceof Named ? value.number : null,
    ),
  );
  return executor.run({ lines: lines.join('\n'), parts });
}

async function run(...commands: readonly Command[]): Promise<readonly Answer[]> {
  return (await runFor(commands)).answers;
}

const [a, b] = [new Named(1), new Named(2)];
const rowsOf = (buffer: Named | undefined): object => ({ buffer, offset: 0, stride: 2 });
const read = (buffer: Named): Command => ['readRows', rowsOf(buffer), 2, 1];
const allocate = (buffer: Named): Command => ['allocate', buffer.number, 2];
/** Fails, for these are no sums. */
const spoil = (dweight: Named): Command => [
  'backwardParameters',
  { sums: new Uint8Array(3), statistics: a, dweight, dbias: null },
];

describe('commands', () => {
  it('run in order, with buffers and arrays in the place of references', async () => {
    const answers = await run(
      allocate(a),
      allocate(b),
      ['writeRows', Float32Array.of(1, 2), rowsOf(a), 2, 1],
      ['fill', b, 0.5],
      ['add', a, b, b],
      read(b),
    );
    expect(answers).toEqual([{ ticket: 6, value: Float32Array.of(1.5, 2.5) }]);
  });

  it.each([Number.NaN, Infinity, -Infinity, -0, 0.1])('carry the number %d', async (value) => {
    const answers = await run(allocate(a), ['fill', a, value], read(a));
    expect(answers).toEqual([{ ticket: 3, value: Float32Array.of(value, value) }]);
  });

  it('give memory back', async () => {
    await run(allocate(a), ['release', a.number]);
    expect(device.memoryUsage().buffers).toBe(0);
  });
});

describe('a command that fails', () => {
  it('is told to whoever reads what depends on it, and to nobody else', async () => {
    const answers = await run(allocate(a), ['fill', a, 1], allocate(b), spoil(b), ['add', a, b, b], read(a), read(b));
    expect(answers).toMatchObject([
      { ticket: 6, value: Float32Array.of(1, 1) },
      { ticket: 7, operation: 'backwardParameters', failure: { name: 'PartialError' } },
    ]);
  });

  it('spoils its outputs alone: what it read stays good', async () => {
    const answers = await run(allocate(a), ['fill', a, 1], allocate(b), spoil(b), read(a), read(b));
    expect(answers).toMatchObject([
      { ticket: 5, value: Float32Array.of(1, 1) },
      { ticket: 6, operation: 'backwardParameters', failure: { name: 'PartialError' } },
    ]);
  });

  it('is forgotten with the buffer it spoiled', async () => {
    const answers = await run(
      allocate(a),
      allocate(b),
      spoil(b),
      ['release', b.number],
      allocate(b),
      ['fill', b, 2],
      read(b),
    );
    expect(answers).toMatchObject([{ value: Float32Array.of(2, 2) }]);
  });

  it('for want of memory is told as such, and spoils nothing else', async () => {
    device.memoryLimit = 64;
    const answers = await run(allocate(a), ['fill', a, 1], allocate(b), ['add', a, b, b], read(a), read(b));
    expect(answers).toMatchObject([
      { ticket: 5, value: Float32Array.of(1, 1) },
      { ticket: 6, operation: 'allocate', failure: { name: 'OutOfMemoryError', bytesWanted: 8, bytesInUse: 64 } },
    ]);
    device.memoryLimit = Infinity;
    expect(await run(['release', b.number], allocate(b), ['fill', b, 2], read(b))).toMatchObject([
      { value: Float32Array.of(2, 2) },
    ]);
  });

  it('for want of memory leaves the running statistics as they were', async () => {
    const names = [3, 4, 5, 6, 7, 8].map((number) => new Named(number));
    const [mean, variance, nextMean, nextVariance, statistics, y] = names;
    await run(...names.slice(0, -1).map((name): Command => ['allocate', name.number, 4]));
    await run(['fill', mean, 3], ['fill', variance, 5], ['fill', nextMean, 0], ['fill', nextVariance, 0]);
    device.memoryLimit = 1;
    const layout = { samples: 1, channels: 4, length: 2, format: 'contiguous' };
    const args = { x: mean, y, layout, numerics: 'stable', eps: 1, weight: null, bias: null, statistics };
    const answers = await run(
      ['allocate', 8, 8],
      ['batchNorm', { ...args, running: { mean, variance, nextMean, nextVariance, momentum: 0.1, correction: 1 } }],
      ...[nextMean, nextVariance, statistics].map((name): Command => [
        'readRows',
        { ...rowsOf(name), stride: 4 },
        4,
        1,
      ]),
    );
    expect(answers).toMatchObject([
      { value: Float32Array.of(3, 3, 3, 3) },
      { value: Float32Array.of(5, 5, 5, 5) },
      { operation: 'allocate', failure: { name: 'OutOfMemoryError' } },
    ]);
  });

  it('by a trap ends everything: what comes after it does not run', async () => {
    device.lose('fill', { cause: new Error('a kernel has trapped'), shapes: '2 values' });
    expect(await runFor([['fill', a, 1], read(a)])).toMatchObject({
      answers: [],
      lost: { operation: 'fill', shapes: '2 values', failure: { message: 'a kernel has trapped' } },
    });
  });
});

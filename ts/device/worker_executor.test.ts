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
const rowsOf = (buffer: Named): object => ({ buffer, offset: 0, stride: 2 });
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

  it('for want of memory ends everything, for the calling side has counted on it', async () => {
    device.memoryLimit = 64;
    expect(await runFor([allocate(a), allocate(b), read(a)])).toMatchObject({
      answers: [],
      lost: { operation: 'allocate', failure: { name: 'OutOfMemoryError', bytesWanted: 8, bytesInUse: 64 } },
    });
  });

  it('for good ends everything: what comes after a trap does not run', async () => {
    device.fill = () => {
      throw new WebAssembly.RuntimeError('unreachable');
    };
    expect(await runFor([allocate(a), ['fill', a, 1], read(a)])).toMatchObject({
      answers: [],
      lost: { operation: 'fill', failure: { message: 'unreachable' } },
    });
  });
});

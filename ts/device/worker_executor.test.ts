import { beforeEach, describe, expect, it } from 'vitest';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import { encodeCommand } from './worker_codec.ts';
import { CommandExecutor } from './worker_executor.ts';
import type { Answer, Operation, Part } from './worker_protocol.ts';

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
  executor = new CommandExecutor(device);
});

/** Runs commands as one message; tickets are their places, from 1, where a result is awaited. */
async function run(...commands: (readonly [operation: Operation, ...args: unknown[]])[]): Promise<readonly Answer[]> {
  const awaited = new Set<Operation>(['readRows', 'moments', 'deviations']);
  const parts: Part[] = [];
  const lines = commands.map(([operation, ...args], i) =>
    encodeCommand(operation, awaited.has(operation) ? i + 1 : 0, args, parts, (value) =>
      value instanceof Named ? value.number : null,
    ),
  );
  return (await executor.run({ lines: lines.join('\n'), parts })).answers;
}

const [a, b, c] = [new Named(1), new Named(2), new Named(3)];
const rowsOf = (buffer: Named): object => ({ buffer, offset: 0, stride: 2 });
const read = (buffer: Named): readonly [Operation, ...unknown[]] => ['readRows', rowsOf(buffer), 2, 1];
const allocate = (buffer: Named): readonly [Operation, ...unknown[]] => ['allocate', buffer.number, 2];

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
    device.memoryLimit = 128;
    const [kept, poisoned] = await run(
      allocate(a),
      ['fill', a, 1],
      allocate(b),
      allocate(c),
      ['add', a, c, b],
      read(a),
      read(b),
    );
    expect(kept).toEqual({ ticket: 6, value: Float32Array.of(1, 1) });
    expect(poisoned).toMatchObject({
      ticket: 7,
      operation: 'allocate',
      failure: { name: 'OutOfMemoryError', bytesWanted: 8, bytesInUse: 128 },
    });
  });

  it('spoils its outputs alone: what it read stays good', async () => {
    const merged = new Uint8Array(3);
    const answers = await run(
      allocate(a),
      ['fill', a, 1],
      allocate(b),
      ['backwardParameters', { sums: merged, statistics: a, dweight: b, dbias: null }],
      read(a),
      read(b),
    );
    expect(answers).toMatchObject([
      { ticket: 5, value: Float32Array.of(1, 1) },
      { ticket: 6, operation: 'backwardParameters', failure: { name: 'PartialError' } },
    ]);
  });

  it('is forgotten with the buffer it spoiled', async () => {
    device.memoryLimit = 0;
    await run(allocate(a), ['release', a.number]);
    device.memoryLimit = Infinity;
    expect(await run(allocate(a), ['fill', a, 2], read(a))).toMatchObject([{ value: Float32Array.of(2, 2) }]);
  });

  it('for good ends everything: what comes after a trap does not run', async () => {
    device.fill = () => {
      throw new WebAssembly.RuntimeError('unreachable');
    };
    const parts: Part[] = [];
    const nameOf = (value: object): number | null => (value instanceof Named ? value.number : null);
    const lines = [allocate(a), ['fill', a, 1] as const, read(a)].map(([operation, ...args], i) =>
      encodeCommand(operation, i, args, parts, nameOf),
    );
    const reply = await executor.run({ lines: lines.join('\n'), parts });
    expect(reply).toMatchObject({ answers: [], lost: { operation: 'fill', failure: { message: 'unreachable' } } });
  });
});

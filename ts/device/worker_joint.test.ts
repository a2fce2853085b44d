import { beforeEach, describe, expect, it } from 'vitest';
import { messageOf, type NamedBuffer, namedBuffer } from '../../tests/support/worker_message.ts';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import { breakGroup, createGroupMemory, Exchange } from './worker_exchange.ts';
import type { WorkerCommand } from './worker_commands.ts';
import { CommandExecutor } from './worker_executor.ts';
import type { Answer, Reply, SharedPart } from './worker_protocol.ts';

let device: CpuDevice;
let executor: CommandExecutor;
let told: Reply[];

beforeEach(async () => {
  device = new CpuDevice('worker:7', compileCpuModule);
  await device.ready();
  told = [];
  executor = new CommandExecutor(device, (reply) => told.push(reply));
});

async function run(...commands: readonly WorkerCommand[]): Promise<readonly Answer[]> {
  return (await executor.run(messageOf(commands))).answers;
}

/** Fails, for these are no sums. */
const spoil = (dweight: NamedBuffer): WorkerCommand => ({
  operation: 'backwardParameters',
  ...{ sums: new Uint8Array(3), statistics: dweight, dweight },
});

describe('a command of a group', () => {
  const GROUP = 5;
  const [x, y, z] = [namedBuffer(11), namedBuffer(12), namedBuffer(13)];
  const [statistics, spoiled] = [namedBuffer(14), namedBuffer(15)];
  const layout = { samples: 1, channels: 3, length: 32, format: 'contiguous' } as const;
  const values = Float32Array.from({ length: 96 }, (_, i) => Math.sin(i));
  let memory: SharedPart;
  beforeEach(() => {
    memory = createGroupMemory(2, 1024);
  });

  /** The first of two members; its sample comes before that of the other. */
  const setUp = (): WorkerCommand[] => [
    { operation: 'join', group: GROUP, memory, rank: 0, size: 2, slotBytes: 1024 },
    ...[x, y, z, spoiled].map(({ number }) => ({ operation: 'allocate' as const, buffer: number, length: 96 })),
    { operation: 'allocate', buffer: statistics.number, length: 12 },
    { operation: 'writeRows', values, target: { buffer: x, offset: 0, stride: 96 }, rowLength: 96, rows: 1 },
  ];
  const normalize = (input: NamedBuffer, output: NamedBuffer): WorkerCommand => ({
    operation: 'jointBatchNorm',
    ...{ group: GROUP, width: 2, x: input, y: output, layout, firstSample: 0, statistics },
    ...{ numerics: 'stable', eps: 1e-5, epsMode: 'plus' },
  });
  const readAll = (buffer: NamedBuffer): WorkerCommand => ({
    operation: 'readRows',
    source: { buffer, offset: 0, stride: 96 },
    rowLength: 96,
    rows: 1,
  });

  /** What the other member, which holds the same values as the next sample, posts for groups of two channels. */
  async function postAsOther(): Promise<void> {
    const other = new Exchange(memory, 1, 2, 1024);
    const buffer = device.allocate(96);
    device.write(buffer, values);
    for (const part of [
      [0, 2],
      [2, 3],
    ] as const) {
      other.post(await device.reduce({ operation: 'moments', x: buffer, layout: { ...layout, part }, firstSample: 1 }));
    }
    device.release(buffer);
  }

  it('gives what the batch of all members gives', async () => {
    await postAsOther();
    const [answer] = await run(...setUp(), normalize(x, y), readAll(y));
    const [all, whole, rows] = [device.allocate(192), device.allocate(192), device.allocate(12)];
    device.write(all, Float32Array.of(...values, ...values));
    device.run({
      operation: 'batchNorm',
      ...{ x: all, y: whole, layout: { ...layout, samples: 2 }, numerics: 'stable', eps: 1e-5 },
      statistics: rows,
    });
    expect(answer).toMatchObject({ value: (await device.read(whole)).slice(0, 96) });
    expect(told).toEqual([]);
  });

  it('that reads what another one has spoiled is told of once, at once, and its outputs are spoiled too', async () => {
    const answers = await run(...setUp(), spoil(spoiled), normalize(spoiled, y), normalize(x, z), readAll(y));
    expect(told).toMatchObject([{ left: { group: GROUP, operation: 'backwardParameters' } }]);
    expect(answers).toMatchObject([{ operation: 'backwardParameters', failure: { name: 'PartialError' } }]);
  });

  it('ends when another member has failed, which is no news', async () => {
    breakGroup(memory);
    const answers = await run(...setUp(), normalize(x, y), readAll(y), { operation: 'confirm' });
    expect(answers).toMatchObject([
      { operation: 'jointBatchNorm', failure: { name: 'GroupBrokenError' } },
      { ticket: 10 },
    ]);
    expect(told).toEqual([]);
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import { encodeCommand } from './worker_codec.ts';
import { breakGroup, createGroupMemory, Exchange } from './worker_exchange.ts';
import { CommandExecutor } from './worker_executor.ts';
import type { Answer, Operation, Part, Reply, SharedPart } from './worker_protocol.ts';

/** A buffer as the calling side names it. */
class Named {
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
}

let device: CpuDevice;
let executor: CommandExecutor;
let told: Reply[];

beforeEach(async () => {
  device = new CpuDevice('worker:7', compileCpuModule);
  await device.ready();
  told = [];
  executor = new CommandExecutor(device, (reply) => told.push(reply));
});

type Command = readonly [operation: Operation, ...args: unknown[]];

/** Runs commands as one message; tickets are their places, from 1, where a result is awaited. */
async function run(...commands: readonly Command[]): Promise<readonly Answer[]> {
  const awaited = new Set<Operation>(['readRows', 'confirm']);
  const parts: (Part | SharedPart)[] = [];
  const lines = commands.map(([operation, ...args], i) =>
    encodeCommand(operation, awaited.has(operation) ? i + 1 : 0, args, parts, (value) =>
      value instanceof Named ? value.number : null,
    ),
  );
  const { answers } = await executor.run({ lines: lines.join('\n'), parts });
  return answers;
}

/** Fails, for these are no sums. */
const spoil = (dweight: Named): Command => [
  'backwardParameters',
  { sums: new Uint8Array(3), statistics: dweight, dweight, dbias: null },
];

describe('a command of a group', () => {
  const GROUP = 5;
  const [x, y, z] = [new Named(11), new Named(12), new Named(13)];
  const [statistics, spoiled] = [new Named(14), new Named(15)];
  const layout = { samples: 1, channels: 3, length: 32, format: 'contiguous' };
  const values = Float32Array.from({ length: 96 }, (_, i) => Math.sin(i));
  let memory: SharedPart;
  beforeEach(() => {
    memory = createGroupMemory(2, 1024);
  });

  /** The first of two members; its sample comes before that of the other. */
  const setUp = (): Command[] => [
    ['join', GROUP, memory, 0, 2, 1024],
    ...[x, y, z, spoiled].map((buffer): Command => ['allocate', buffer.number, 96]),
    ['allocate', statistics.number, 12],
    ['writeRows', values, { buffer: x, offset: 0, stride: 96 }, 96, 1],
  ];
  const normalize = (input: Named, output: Named): Command => [
    'jointBatchNorm',
    {
      group: GROUP,
      tiling: { channels: 3, width: 2 },
      share: {
        ...{ x: input, y: output, layout, firstSample: 0, numerics: 'stable', eps: 1e-5, epsMode: 'plus' },
        ...{ weight: null, bias: null, statistics, running: null },
      },
    },
  ];
  const readAll = (buffer: Named): Command => ['readRows', { buffer, offset: 0, stride: 96 }, 96, 1];

  /** What the other member, which holds the same values as the next sample, posts for groups of two channels. */
  async function postAsOther(): Promise<void> {
    const other = new Exchange(memory, 1, 2, 1024);
    const buffer = device.allocate(96);
    device.write(buffer, values);
    for (const part of [
      [0, 2],
      [2, 3],
    ] as const) {
      const format = 'contiguous' as const;
      other.post(await device.moments({ x: buffer, layout: { ...layout, format, part }, firstSample: 1 }));
    }
    device.release(buffer);
  }

  it('gives what the batch of all members gives', async () => {
    await postAsOther();
    const [answer] = await run(...setUp(), normalize(x, y), readAll(y));
    const [all, whole, rows] = [device.allocate(192), device.allocate(192), device.allocate(12)];
    device.write(all, Float32Array.of(...values, ...values));
    device.batchNorm({
      ...{ x: all, y: whole, layout: { ...layout, samples: 2, format: 'contiguous' }, numerics: 'stable', eps: 1e-5 },
      ...{ weight: null, bias: null, statistics: rows, running: null },
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
    const answers = await run(...setUp(), normalize(x, y), readAll(y), ['confirm']);
    expect(answers).toMatchObject([
      { operation: 'jointBatchNorm', failure: { name: 'GroupBrokenError' } },
      { ticket: 10 },
    ]);
    expect(told).toEqual([]);
  });
});

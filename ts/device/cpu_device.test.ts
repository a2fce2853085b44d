import { beforeEach, describe, expect, it } from 'vitest';
import { NotInitializedError, OutOfMemoryError, PartialError } from '../errors.ts';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import type { BatchLayout, Command, DeviceBuffer } from './device.ts';

const layout: BatchLayout = { samples: 4, channels: 3, length: 10, format: 'contiguous' };
const elements = 120;

/** Values that no formula gives by accident. */
function values(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898 + seed) * 2 + 0.5);
}

let device: CpuDevice;

beforeEach(async () => {
  device = new CpuDevice('cpu:7', compileCpuModule);
  await device.ready();
});

function place(data: Float32Array, on = device): DeviceBuffer {
  const buffer = on.allocate(data.length);
  on.write(buffer, data);
  return buffer;
}

describe('memory', () => {
  it('cannot be used before the device is ready', () => {
    expect(() => new CpuDevice('cpu:8', compileCpuModule).allocate(1)).toThrow(NotInitializedError);
  });

  it('reads what was written', async () => {
    const data = values(1000, 1);
    expect(await device.read(place(data))).toEqual(data);
  });

  it('keeps the contents of buffers when it grows', async () => {
    const data = values(1000, 1);
    const buffer = place(data);
    const before = device.memoryUsage().bytesReserved;
    device.allocate(4_000_000);
    expect(device.memoryUsage().bytesReserved).toBeGreaterThan(before);
    expect(await device.read(buffer)).toEqual(data);
  });

  it('reports an exhausted memory with the bytes wanted and in use, and loses nothing', async () => {
    const data = values(1000, 1);
    const buffer = place(data);
    const { bytesInUse } = device.memoryUsage();
    device.memoryLimit = 8000;
    let error: unknown;
    try {
      device.allocate(2000);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ device: 'cpu:7', bytesWanted: 8000, bytesInUse });
    expect(await device.read(buffer)).toEqual(data);
  });

  it.each([2 ** 30 - 2 ** 24, 2 ** 30, 2 ** 32, 2 ** 32 + 10, 2 ** 45])('cannot grant %i values', (length) => {
    expect(() => device.allocate(length)).toThrow(OutOfMemoryError);
    expect(device.bufferBytes(length) ?? Infinity).toBeGreaterThan(device.mostBytes);
    device.allocate(10);
    expect(device.memoryUsage().buffers).toBe(1);
  });

  it('takes no more from the system when sizes repeat', () => {
    const step = (): number => {
      const buffers = [1000, 300_000, 70_000].map((length) => device.allocate(length));
      buffers.forEach((buffer) => device.release(buffer));
      return device.memoryUsage().bytesReserved;
    };
    const first = step();
    for (let i = 0; i < 100; i += 1) step();
    expect(step()).toBe(first);
    expect(device.memoryUsage()).toMatchObject({ bytesInUse: 0, buffers: 0 });
  });

  it('refuses a buffer that was released, and one of another device', async () => {
    const buffer = place(values(8, 1));
    device.release(buffer);
    await expect(device.read(buffer)).rejects.toThrow('released');
    expect(() => device.release(buffer)).toThrow(RangeError);
    const other = new CpuDevice('cpu:8', compileCpuModule);
    await other.ready();
    expect(() => device.run({ operation: 'fill', target: place(values(8, 1), other), value: 0 })).toThrow(
      'cpu:7 and cpu:8',
    );
  });

  it.each(['weight', 'bias'] as const)(
    'a %s that was released is refused, not taken for one that is absent',
    (name) => {
      const [x, y, statistics] = [place(values(elements, 1)), device.allocate(elements), device.allocate(12)];
      const released = device.allocate(3);
      device.release(released);
      const absent = { weight: null, bias: null };
      expect(() =>
        device.run({
          operation: 'batchNorm',
          x,
          y,
          layout,
          numerics: 'stable',
          eps: 1e-5,
          statistics,
          ...absent,
          [name]: released,
        }),
      ).toThrow('device cpu:7: expected a buffer in use, got one that was released');
    },
  );
});

describe('copyRows', () => {
  it('copies rows between two devices', async () => {
    const other = new CpuDevice('cpu:8', compileCpuModule);
    await other.ready();
    const source = place(Float32Array.of(0, 1, 2, 3, 4, 5), other);
    const target = place(new Float32Array(8));
    await device.copyRows({ buffer: source, offset: 1, stride: 3 }, { buffer: target, offset: 2, stride: 4 }, 2, 2);
    expect(await device.read(target)).toEqual(Float32Array.of(0, 0, 1, 2, 0, 0, 4, 5));
  });

  it('copies adjacent rows, also within one buffer', async () => {
    const buffer = place(Float32Array.of(0, 1, 2, 3, 4, 5));
    await device.copyRows({ buffer, offset: 0, stride: 2 }, { buffer, offset: 1, stride: 2 }, 2, 2);
    expect(await device.read(buffer)).toEqual(Float32Array.of(0, 0, 1, 2, 3, 5));
  });
});

describe('elementwise commands', () => {
  it.each([
    ['neither', (a: DeviceBuffer, b: DeviceBuffer, c: DeviceBuffer) => [a, b, c] as const, [11, 22]],
    ['the first', (a: DeviceBuffer, b: DeviceBuffer) => [a, b, a] as const, [11, 22]],
    ['the second', (a: DeviceBuffer, b: DeviceBuffer) => [a, b, b] as const, [11, 22]],
    ['both', (a: DeviceBuffer) => [a, a, a] as const, [2, 4]],
  ])('adds where the target is %s of the operands', async (_, choose, expected) => {
    const buffers = [
      place(Float32Array.of(1, 2)),
      place(Float32Array.of(10, 20)),
      place(Float32Array.of(0, 0)),
    ] as const;
    const [a, b, target] = choose(...buffers);
    device.run({ operation: 'add', a: a, b: b, target: target });
    expect(await device.read(target)).toEqual(Float32Array.from(expected));
  });

  it('fills', async () => {
    const buffer = device.allocate(3);
    device.run({ operation: 'fill', target: buffer, value: 1.5 });
    expect(await device.read(buffer)).toEqual(Float32Array.of(1.5, 1.5, 1.5));
  });

  it('permutes to the other format and back', async () => {
    const data = values(elements, 1);
    const [source, rows, back] = [place(data), device.allocate(elements), device.allocate(elements)];
    device.run({ operation: 'permute', source: source, target: rows, layout });
    device.run({ operation: 'permute', source: rows, target: back, layout: { ...layout, format: 'channels_last' } });
    expect((await device.read(rows))[1]).toBe(data[10]);
    expect(await device.read(back)).toEqual(data);
  });
});

describe('the bytes of a command', () => {
  it('may be so many that the memory grows for them', async () => {
    const wide: BatchLayout = { samples: 2, channels: 200_000, length: 1, format: 'contiguous' };
    const data = values(2 * wide.channels, 1);
    const merged = await device.reduce({ operation: 'moments', x: place(data), layout: wide, firstSample: 0 });
    const statistics = device.allocate(4 * wide.channels);
    const before = device.memoryUsage().bytesReserved;
    device.run({ operation: 'finalize', merged, eps: 1e-5, epsMode: 'plus', statistics });
    expect(device.memoryUsage().bytesReserved).toBeGreaterThan(before);
    const mean = (await device.read(statistics)).subarray(0, wide.channels);
    const expected = mean.map((_, c) => ((data[c] ?? 0) + (data[wide.channels + c] ?? 0)) / 2);
    expect(Math.max(...mean.slice(0, 1000).map((value, c) => Math.abs(value - (expected[c] ?? 0))))).toBeLessThan(1e-6);
    // The words lie where they lay.
    const target = device.allocate(3);
    device.run(fill(target));
    expect(await device.read(target)).toEqual(new Float32Array(3).fill(7));
  });
});

describe('several commands in one call', () => {
  const [C, N] = [layout.channels, layout.samples];
  const shard = (firstSample: number): Promise<Uint8Array> => {
    const samples = firstSample === 0 ? 1 : N - 1;
    const x = place(values(elements, 1).slice((firstSample * elements) / N, ((firstSample + samples) * elements) / N));
    return device.reduce({ operation: 'moments', x, layout: { ...layout, samples }, firstSample });
  };

  it('compute what they compute one by one, from partials that are merged once', async () => {
    const partials = Uint8Array.of(...(await shard(0)), ...(await shard(1)));
    const [x, mean, variance] = [place(values(elements, 1)), place(values(C, 2)), place(values(C, 3))];
    const commands = (merged: Uint8Array): { list: Command[]; outputs: DeviceBuffer[] } => {
      const [statistics, nextMean, nextVariance] = [4 * C, C, C].map((length) => device.allocate(length)) as Buffers;
      const y = device.allocate(elements);
      const list: Command[] = [
        { operation: 'finalize', merged, eps: 1e-5, epsMode: 'plus', statistics },
        { operation: 'updateRunning', merged, mean, variance, nextMean, nextVariance, momentum: 0.1, correction: 1 },
        { operation: 'normalize', x, y, layout, numerics: 'stable', statistics },
      ];
      return { list, outputs: [statistics, nextMean, nextVariance, y] };
    };
    const [together, alone] = [commands(partials), commands(device.mergeBytes(partials))];
    device.runAll(together.list);
    alone.list.forEach((command) => device.run(command));
    const read = (buffers: readonly DeviceBuffer[]): Promise<Float32Array[]> =>
      Promise.all(buffers.map((buffer) => device.read(buffer)));
    expect(await read(together.outputs)).toEqual(await read(alone.outputs));
  });

  it('end with the first that fails', async () => {
    const [first, last, short] = [place(values(4, 1)), place(values(4, 2)), place(values(3, 3))];
    const wrong: Command = { operation: 'add', a: first, b: short, target: first };
    expect(() => device.runAll([fill(first), wrong, fill(last)])).toThrow(RangeError);
    expect(await device.read(first)).toEqual(new Float32Array(4).fill(7));
    expect(await device.read(last)).toEqual(values(4, 2));
  });

  it('are four at most, and share their bytes', async () => {
    const target = place(values(4, 1));
    expect(() => device.runAll(Array.from({ length: 5 }, () => fill(target)))).toThrow('at most 4 commands');
    device.runAll(Array.from({ length: 4 }, () => fill(target)));
    expect(await device.read(target)).toEqual(new Float32Array(4).fill(7));
    const [one, other] = [await shard(0), await shard(0)];
    const finalize = (merged: Uint8Array): Command => ({
      operation: 'finalize',
      ...{ merged, eps: 1e-5, epsMode: 'plus', statistics: device.allocate(4 * C) },
    });
    device.runAll([finalize(one), finalize(one)]);
    expect(() => device.runAll([finalize(one), finalize(other)])).toThrow('share their bytes');
  });
});

type Buffers = [DeviceBuffer, DeviceBuffer, DeviceBuffer];

function fill(target: DeviceBuffer): Command {
  return { operation: 'fill', target, value: 7 };
}

/** Forward and backward through the single commands. */
async function whole(numerics: 'stable' | 'torch'): Promise<Float32Array[]> {
  const [x, dy] = [place(values(elements, 1)), place(values(elements, 2))];
  const [y, dx] = [device.allocate(elements), device.allocate(elements)];
  const [weight, bias] = [place(values(3, 3)), place(values(3, 4))];
  const [dweight, dbias, statistics] = [device.allocate(3), device.allocate(3), device.allocate(12)];
  const running = {
    mean: place(values(3, 5)),
    variance: place(values(3, 6)),
    nextMean: device.allocate(3),
    nextVariance: device.allocate(3),
    momentum: 0.1,
    correction: 1 as const,
  };
  device.run({ operation: 'batchNorm', x, y, layout, numerics, eps: 1e-5, weight, bias, statistics, ...running });
  device.run({
    operation: 'batchNormBackward',
    x,
    dy,
    dx,
    layout,
    statistics,
    weight,
    dweight,
    dbias,
    batchStatistics: true,
  });
  const results = [y, statistics, running.nextMean, running.nextVariance, dx, dweight, dbias];
  return Promise.all(results.map((buffer) => device.read(buffer)));
}

/** The same through the steps, the batch cut after `cut` samples. */
async function steps(numerics: 'stable' | 'torch', cut: number): Promise<Float32Array[]> {
  const shards = [
    { begin: 0, end: cut },
    { begin: cut, end: layout.samples },
  ].map(({ begin, end }) => {
    const part = (seed: number): DeviceBuffer => place(values(elements, seed).slice(begin * 30, end * 30));
    return { x: part(1), dy: part(2), layout: { ...layout, samples: end - begin }, firstSample: begin };
  });
  const [weight, bias, statistics] = [place(values(3, 3)), place(values(3, 4)), device.allocate(12)];
  const [dweight, dbias] = [device.allocate(3), device.allocate(3)];
  let merged: Uint8Array;
  if (numerics === 'stable') {
    merged = await device.merge(
      await Promise.all(shards.map((shard) => device.reduce({ operation: 'moments', ...shard }))),
    );
  } else {
    const total = await device.merge(
      await Promise.all(shards.map((shard) => device.reduce({ operation: 'total', ...shard }))),
    );
    merged = await device.merge(
      await Promise.all(shards.map((shard) => device.reduce({ operation: 'deviations', ...shard, total }))),
    );
  }
  device.run({ operation: 'finalize', merged, eps: 1e-5, epsMode: 'plus', statistics });
  const running = {
    mean: place(values(3, 5)),
    variance: place(values(3, 6)),
    nextMean: device.allocate(3),
    nextVariance: device.allocate(3),
    momentum: 0.1,
    correction: 1 as const,
  };
  device.run({ operation: 'updateRunning', merged, ...running });
  for (const { x, layout } of shards) {
    // In place is safe here only after the backward pass has read x, so y gets its own memory.
    const y = device.allocate(x.length);
    device.run({ operation: 'normalize', x, y, layout, numerics, statistics, weight, bias });
    outputs.push(y);
  }
  const sums = await device.merge(
    await Promise.all(shards.map((shard) => device.reduce({ operation: 'backwardReduce', ...shard, statistics }))),
  );
  device.run({ operation: 'backwardParameters', sums, statistics, dweight, dbias });
  for (const { x, dy, layout } of shards) {
    device.run({ operation: 'backwardInput', x, dy, dx: dy, layout, statistics, weight, sums });
  }
  const read = (buffer: DeviceBuffer): Promise<Float32Array> => device.read(buffer);
  const joined = async (buffers: DeviceBuffer[]): Promise<Float32Array> =>
    Float32Array.from((await Promise.all(buffers.map(read))).flatMap((part) => [...part]));
  return [
    await joined(outputs.splice(0)),
    await read(statistics),
    await read(running.nextMean),
    await read(running.nextVariance),
    await joined(shards.map((shard) => shard.dy)),
    await read(dweight),
    await read(dbias),
  ];
}

const outputs: DeviceBuffer[] = [];

describe('batch norm', () => {
  it.each(['stable', 'torch'] as const)('normalizes to mean 0 and variance 1: %s', async (numerics) => {
    const [x, y, statistics] = [place(values(elements, 1)), device.allocate(elements), device.allocate(12)];
    device.run({
      operation: 'batchNorm',
      x,
      y,
      layout,
      numerics,
      eps: 1e-5,
      statistics,
    });
    const normalized = await device.read(y);
    const channel = normalized.filter((_, i) => Math.floor(i / 10) % 3 === 1);
    const mean = channel.reduce((sum, value) => sum + value, 0) / 40;
    const variance = channel.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 40;
    expect(mean).toBeCloseTo(0, 6);
    expect(variance).toBeCloseTo(1, 4);
  });

  it.each([
    ['stable', 0],
    ['stable', 1],
    ['stable', 3],
    ['torch', 2],
    ['torch', 4],
  ] as const)('gives the same bits in steps: %s, cut after %i samples', async (numerics, cut) => {
    expect(await steps(numerics, cut)).toEqual(await whole(numerics));
  });

  it('evaluates with the running statistics', async () => {
    const [x, statistics] = [place(Float32Array.of(1, 2, 3, 4)), device.allocate(4)];
    const [mean, variance] = [place(Float32Array.of(2)), place(Float32Array.of(4))];
    const single: BatchLayout = { samples: 1, channels: 1, length: 4, format: 'contiguous' };
    device.run({ operation: 'evaluationStatistics', mean, variance, numerics: 'stable', eps: 0, statistics });
    device.run({
      operation: 'normalize',
      x,
      y: x,
      layout: single,
      numerics: 'stable',
      statistics,
      weight: null,
      bias: null,
    });
    expect(await device.read(x)).toEqual(Float32Array.of(-0.5, 0, 0.5, 1));
    const dy = place(Float32Array.of(1, 2, 3, 4));
    device.run({ operation: 'backwardInput', x, dy, dx: dy, layout: single, statistics, weight: null, sums: null });
    expect(await device.read(dy)).toEqual(Float32Array.of(0.5, 1, 1.5, 2));
  });

  it('refuses bytes that are no partial, and partials with a gap', async () => {
    await expect(device.merge([new Uint8Array(3)])).rejects.toThrow(PartialError);
    const shard = (firstSample: number): Promise<Uint8Array> =>
      device.reduce({ operation: 'moments', x: place(values(elements, 1)), layout, firstSample });
    const partials = await Promise.all([shard(0), shard(5)]);
    await expect(device.merge(partials)).rejects.toThrow('begins with sample 4');
  });
});

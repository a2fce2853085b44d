/**
 * WebAssembly computes the bits that the same kernels compute natively: `crates/core/tests/bits` wrote them down, so that
 * what is proved of the kernels there holds for what runs here.
 */

import { describe, expect, it } from 'vitest';
import table from '../../crates/core/tests/bits/bits.json?raw';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import { type BatchLayout, type DeviceBuffer, type Numerics, STATISTICS_ROWS } from './device.ts';

interface BitsCase extends BatchLayout {
  readonly numerics: Numerics;
  readonly offset: number;
  readonly digests: readonly number[];
}

const cases = JSON.parse(table) as BitsCase[];

/** Between −2 and 2 and different for every place; the same in Rust. */
function value(place: number, seed: number): number {
  let mixed = Math.imul(place + Math.imul(seed, 0x9e3779b9), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 8) / 2 ** 22 - 2;
}

function values(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, place) => value(place, seed));
}

/** FNV-1a. */
function digest(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

async function compute({ numerics, offset, ...layout }: BitsCase): Promise<number[]> {
  const device = new CpuDevice('cpu:0', compileCpuModule);
  await device.ready();
  const place = (data: Float32Array): DeviceBuffer => {
    const buffer = device.allocate(data.length);
    device.write(buffer, data);
    return buffer;
  };
  const { samples, channels, length } = layout;
  const elements = samples * channels * length;
  const x = place(values(elements, 1).map((value) => value + offset));
  const dy = place(values(elements, 2));
  const [weight, bias, mean] = [place(values(channels, 3)), place(values(channels, 4)), place(values(channels, 5))];
  const variance = place(values(channels, 6).map((value) => value * value));
  const [y, dx] = [device.allocate(elements), device.allocate(elements)];
  const [nextMean, nextVariance] = [device.allocate(channels), device.allocate(channels)];
  const [dweight, dbias] = [device.allocate(channels), device.allocate(channels)];
  const statistics = device.allocate(STATISTICS_ROWS * channels);
  const running = { mean, variance, nextMean, nextVariance, momentum: 0.1, correction: 1 } as const;
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
  const shard = { x, layout, firstSample: 3 };
  const total = await device.reduce({ operation: 'total', ...shard, firstSample: 0 });
  const partials = await Promise.all([
    device.reduce({ operation: 'moments', ...shard }),
    device.reduce({ operation: 'total', ...shard }),
    device.reduce({ operation: 'deviations', ...shard, total }),
    device.reduce({ operation: 'backwardReduce', ...shard, dy, statistics }),
  ]);
  const results = [y, statistics, nextMean, nextVariance, dx, dweight, dbias];
  const floats = await Promise.all(results.map((buffer) => device.read(buffer)));
  return [...floats.map((floats) => digest(new Uint8Array(floats.buffer))), ...partials.map(digest)];
}

describe('WebAssembly computes the bits of the native kernels', () => {
  it('for the cases of the table', () => {
    expect(cases.length).toBeGreaterThan(50);
  });

  it.each(cases)('$numerics, $format, $samples × $channels × $length', async (given) => {
    expect(await compute(given)).toEqual(given.digests);
  });
});

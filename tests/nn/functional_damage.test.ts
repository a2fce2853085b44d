/** Bytes from elsewhere that are not what they should be: refused where they are given, on every kind of device alike. */

import { devices, functional, OutOfMemoryError, PartialError, tensor, type Tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { deviceKinds } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { randomArray } from '../support/random.ts';

const shape = [5, 3, 7];
const batch = (device: string, seed = 1): Tensor => tensor(randomArray(seed, 105), shape, { device });
const vector = (device: string, seed: number, length = 3): Tensor =>
  tensor(randomArray(seed, length), [length], { device });

/** Partials of every kind that are good, of a batch that lies on `cpu:0`. */
async function goodPartials(
  firstSample: number,
): Promise<Record<'moments' | 'total' | 'deviations' | 'sums', Uint8Array>> {
  const x = batch('cpu');
  const whole = await functional.moments(x);
  const statistics = await functional.finalize(whole, x);
  return {
    moments: await functional.moments(x, { firstSample }),
    total: await functional.total(x, { firstSample }),
    deviations: await functional.deviations(x, await functional.total(x), { firstSample }),
    sums: await functional.backwardReduce(batch('cpu', 2), x, statistics, { firstSample }),
  };
}

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

/** What can happen to bytes on their way. */
const damages: readonly (readonly [name: string, damage: (bytes: Uint8Array) => Uint8Array])[] = [
  ['nothing', () => new Uint8Array(0)],
  ['7 bytes of zeros', () => new Uint8Array(7)],
  ['a header alone', (bytes) => bytes.slice(0, 40)],
  ['bytes missing at the end', (bytes) => bytes.slice(0, -1)],
  ['a byte too many', (bytes) => Uint8Array.of(...bytes, 0)],
  ['another mark', (bytes) => changed(bytes, 0, 0)],
  ['an unknown kind', (bytes) => changed(bytes, 4, 9)],
  ['another kind', (bytes) => changed(bytes, 4, bytes[4] === 2 ? 3 : 2)],
  ['more channels', (bytes) => changed(bytes, 8, 4)],
  ['no channels', (bytes) => changed(bytes, 8, 0)],
  ['longer samples', (bytes) => changed(bytes, 16, 8)],
  ['no length', (bytes) => changed(bytes, 16, 0)],
  ['a sample more', (bytes) => changed(bytes, 32, 6)],
  ['2^32 samples', (bytes) => changed(changed(bytes, 32, 0), 36, 1)],
  ['2^56 samples', (bytes) => changed(bytes, 39, 1)],
  ['2^45 samples and nothing behind the header', (bytes) => changed(changed(bytes, 32, 0), 37, 32).slice(0, 40)],
  ['the same range twice', (bytes) => Uint8Array.of(...bytes, ...bytes)],
];

async function errorOf(attempt: () => Promise<unknown>): Promise<unknown> {
  return attempt().then(
    () => null,
    (error: unknown) => error,
  );
}

describe.each(deviceKinds)('a damaged partial on %s', (kind) => {
  let device = '';
  beforeAll(async () => {
    device = await freshDevice(kind);
  });

  it.each(damages)('(%s) is refused at the call, and nothing has changed', async (_, damage) => {
    const x = batch(device);
    const [mean, variance] = [vector(device, 5), vector(device, 6)];
    const before = [await mean.data(), await variance.data()];
    const good = await goodPartials(0);
    const statistics = await functional.finalize(good.moments, x);
    const { buffers } = devices.get(device).memoryUsage();
    const [moments, sums] = [damage(good.moments), damage(good.sums)];
    const attempts = [
      () => functional.finalize(moments, x),
      () => functional.updateRunning(moments, mean, variance),
      () => functional.backwardParameters(sums, statistics),
      () => functional.backwardInput(x, x, statistics, { sums }),
      () => functional.mergeMoments([moments], device),
      () => functional.mergeSums([sums], device),
      ...(kind === 'webgpu' ? [] : [() => functional.deviations(x, damage(good.total))]),
    ];
    for (const [i, attempt] of attempts.entries()) {
      const error = await errorOf(attempt);
      // Merging does not know of which batch partials are.
      const isPartialOfAnother = error === null && (i === 4 || i === 5);
      expect(isPartialOfAnother || error).toEqual(isPartialOfAnother ? true : expect.any(PartialError));
    }
    // What earlier tests have left may have been collected.
    expect(devices.get(device).memoryUsage().buffers).toBeLessThanOrEqual(buffers);
    expect([await mean.data(), await variance.data()]).toEqual(before);
  });

  it('that begins in the middle of the batch is refused where a whole one is wanted', async () => {
    const x = batch(device);
    const [mean, variance] = [vector(device, 5), vector(device, 6)];
    const [whole, part] = [await goodPartials(0), await goodPartials(5)];
    const statistics = await functional.finalize(whole.moments, x);
    for (const attempt of [
      () => functional.finalize(part.moments, x),
      () => functional.updateRunning(part.moments, mean, variance),
      () => functional.backwardParameters(part.sums, statistics),
      () => functional.backwardInput(x, x, statistics, { sums: part.sums }),
    ]) {
      await expect(attempt()).rejects.toThrow('begins with sample 5; merge those of all shards');
    }
  });
});

describe.each(deviceKinds)('updateRunning() on %s', (kind) => {
  let device = '';
  beforeAll(async () => {
    device = await freshDevice(kind);
  });

  it.each([
    ['a variance of another length', 3, 4],
    ['a mean of another length', 4, 3],
    ['both of another length', 4, 4],
  ])('refuses %s at the call', async (_, meanLength, varianceLength) => {
    const [mean, variance] = [vector(device, 5, meanLength), vector(device, 6, varianceLength)];
    const before = [await mean.data(), await variance.data()];
    const { moments } = await goodPartials(0);
    expect(await errorOf(() => functional.updateRunning(moments, mean, variance))).not.toBeNull();
    expect([await mean.data(), await variance.data()]).toEqual(before);
  });

  it('refuses a batch of one value per channel, whose variance is not defined', async () => {
    const [mean, variance] = [vector(device, 5), vector(device, 6)];
    const before = [await mean.data(), await variance.data()];
    const merged = await functional.moments(tensor([1, 2, 3], [1, 3], { device }));
    await expect(functional.updateRunning(merged, mean, variance)).rejects.toThrow('more than 1 value per channel');
    expect([await mean.data(), await variance.data()]).toEqual(before);
  });
});

describe('backwardParameters()', () => {
  it('runs its kernel once, and leaves nothing behind when there is no room', async () => {
    const device = await freshDevice('cpu');
    const x = batch(device);
    const { moments, sums } = await goodPartials(0);
    const statistics = await functional.finalize(moments, x);
    const before = devices.get(device).memoryUsage();
    // Room for one of the two gradients.
    devices.get(device).memoryLimit = before.bytesInUse + 64;
    await expect(functional.backwardParameters(sums, statistics)).rejects.toThrow(OutOfMemoryError);
    expect(devices.get(device).memoryUsage().buffers).toBe(before.buffers);
    devices.get(device).memoryLimit = Infinity;
    const { dweight, dbias } = await functional.backwardParameters(sums, statistics);
    expect([dweight.shape, dbias.shape]).toEqual([[3], [3]]);
  });
});

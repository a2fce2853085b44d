import { BatchNorm2d, devices, OutOfMemoryError, SynchronizedBatchNorm2d, type Tensor } from 'syncbn';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { randomBatch, valuesOf, withRandomParameters } from '../support/random_batch.ts';

describe.each(deviceKinds)('a batch norm layer on %s', (kind) => {
  let device = '';

  beforeEach(async () => {
    device = await freshDevice(kind);
  });

  /** A layer that has learned something and seen a batch. */
  async function used(options: { trackRunningStats?: boolean } = {}): Promise<BatchNorm2d> {
    const bn = await withRandomParameters(new BatchNorm2d(3, { device, ...options }));
    (await bn.forward(randomBatch(device, [2, 3, 4, 4]))).dispose();
    return bn;
  }

  const stateOf = (bn: BatchNorm2d): Promise<number[][]> =>
    Promise.all([bn.weight, bn.bias, bn.runningMean, bn.runningVar].map(async (item) => [...(await valuesOf(item))]));

  it('forgets the batches seen and nothing else', async () => {
    const bn = await used();
    const [weight, bias] = await stateOf(bn);
    bn.resetRunningStats();
    expect(await stateOf(bn)).toEqual([weight, bias, [0, 0, 0], [1, 1, 1]]);
    expect(bn.numBatchesTracked).toBe(0);
  });

  it.each([BatchNorm2d, SynchronizedBatchNorm2d])('forgets what was learned: %o', async (Layer) => {
    const bn = await withRandomParameters(new Layer(3, { device }));
    const { weight } = bn;
    await (await bn.forward(randomBatch(device, [2, 3, 4, 4]))).backward(randomBatch(device, [2, 3, 4, 4], 2));
    bn.resetParameters();
    expect(await stateOf(bn)).toEqual([
      [1, 1, 1],
      [0, 0, 0],
      [0, 0, 0],
      [1, 1, 1],
    ]);
    expect([bn.numBatchesTracked, bn.weight]).toEqual([0, weight]);
    expect(bn.weight?.requiresGrad).toBe(true);
    expect(bn.weight?.grad).not.toBeNull();
  });

  it('has nothing to forget that it does not have', () => {
    const bare = new BatchNorm2d(3, { device, affine: false, trackRunningStats: false });
    bare.resetParameters();
    expect(bare.stateDict()).toEqual({});
  });

  it('keeps its buffers, as PyTorch does, when it tracks no longer', async () => {
    const bn = await used();
    const [, , mean, variance] = await stateOf(bn);
    bn.trackRunningStats = false;
    bn.resetParameters();
    expect(await stateOf(bn)).toEqual([[1, 1, 1], [0, 0, 0], mean, variance]);
    expect(bn.numBatchesTracked).toBe(1);
  });

  it('leaves a pending backward and a state dict what they hold, and gives the rest back', async () => {
    const bn = await used();
    const untouched = await used();
    const gradientOf = async (layer: BatchNorm2d, resets: boolean): Promise<Float32Array> => {
      const x = randomBatch(device, [2, 3, 4, 4], 1, true);
      const y = await layer.forward(x);
      if (resets) layer.resetParameters();
      await y.backward(randomBatch(device, [2, 3, 4, 4], 2));
      return valuesOf(x.grad);
    };
    const saved = bn.stateDict();
    const before = await stateOf(bn);
    expectSameBits(await gradientOf(bn, true), await gradientOf(untouched, false));
    expectSameBits(await valuesOf(saved['weight'] as Tensor), before[0] ?? []);
    Object.values(saved).forEach((item) => typeof item !== 'number' && item.dispose());
    const { buffers } = devices.get(device).memoryUsage();
    bn.resetParameters();
    expect(devices.get(device).memoryUsage().buffers).toBe(buffers);
  });

  it('changes nothing when there is no room', async () => {
    const bn = await used();
    const before = await stateOf(bn);
    // What was used for that must not make room meanwhile.
    await collectGarbage();
    const usage = devices.get(device).memoryUsage();
    // Room for some of the vectors, not for all.
    devices.get(device).memoryLimit = usage.bytesInUse + usage.bytesInUse / usage.buffers;
    expect(() => bn.resetParameters()).toThrow(OutOfMemoryError);
    devices.get(device).memoryLimit = Infinity;
    expect(await stateOf(bn)).toEqual(before);
    expect([bn.numBatchesTracked, devices.get(device).memoryUsage().buffers]).toEqual([1, usage.buffers]);
  });
});

import { BatchNorm2d, devices, noGrad, tensor, type Tensor } from 'syncbn';
import { beforeEach, describe, expect, it } from 'vitest';
import { elementCount } from '../../ts/tensor/shape.ts';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { randomArray } from '../support/random.ts';
import { randomBatch, valuesOf, withRandomParameters } from '../support/random_batch.ts';

describe.each(deviceKinds)('the memory of a batch norm layer on %s', (kind) => {
  let device = '';

  beforeEach(async () => {
    device = await freshDevice(kind);
  });

  function batch(shape: readonly number[], seed = 1, requiresGrad = false): Tensor {
    return randomBatch(device, shape, seed, requiresGrad);
  }

  describe('writes over', () => {
    it('a donated x in evaluation, with the same bits, and disposes it', async () => {
      const bn = (await withRandomParameters(new BatchNorm2d(3, { device }))).eval().requiresGrad_(false);
      const expected = await valuesOf(await bn.forward(batch([2, 3, 4, 4])));
      const x = batch([2, 3, 4, 4]);
      const { bytesInUse } = devices.get(device).memoryUsage();
      const y = await bn.forward(x.donate());
      expect(x.isDisposed).toBe(true);
      expect(devices.get(device).memoryUsage().bytesInUse).toBe(bytesInUse);
      expectSameBits(await y.data(), expected);
    });

    it('a donated x in training without gradients', async () => {
      const bn = new BatchNorm2d(3, { device });
      const x = batch([2, 3, 4, 4]);
      const { buffers } = devices.get(device).memoryUsage();
      const y = await noGrad(() => bn.forward(x.donate()));
      expect(devices.get(device).memoryUsage().buffers).toBe(buffers);
      expectSameBits(await y.data(), await valuesOf(await new BatchNorm2d(3, { device }).forward(batch([2, 3, 4, 4]))));
    });

    it('no donated x that the backward pass needs', async () => {
      const gradientOf = async (donates: boolean): Promise<Float32Array> => {
        const bn = new BatchNorm2d(3, { device });
        const x = batch([2, 3, 4, 4]);
        const y = await bn.forward(donates ? x.donate() : x);
        expect(x.isDisposed).toBe(donates);
        await y.backward(batch([2, 3, 4, 4], 7));
        return valuesOf(bn.weight?.grad);
      };
      expectSameBits(await gradientOf(true), await gradientOf(false));
    });

    it('no donated x that somebody else holds', async () => {
      const x = batch([2, 3, 4, 4]);
      const view = x.detach();
      const given = await view.data();
      await noGrad(() => new BatchNorm2d(3, { device }).forward(x.donate()));
      expect(x.isDisposed).toBe(true);
      expectSameBits(await view.data(), given);
    });

    it('a donated dy, and no other', async () => {
      // Room for the vectors of the channels and what a command takes while it runs, not for a batch.
      const [shape, room] = kind === 'webgpu' ? [[2, 3, 16, 16], 4096] : [[2, 3, 4, 4], 200];
      const run = async (donates: boolean): Promise<Float32Array> => {
        const bn = await withRandomParameters(new BatchNorm2d(3, { device }));
        const x = batch(shape, 1, true);
        const y = await bn.forward(x);
        const dy = batch(shape, 7);
        const given = await dy.data();
        const { bytesInUse } = devices.get(device).memoryUsage();
        devices.get(device).memoryLimit = donates ? bytesInUse + room : Infinity;
        try {
          await y.backward(donates ? dy.donate() : dy);
        } finally {
          devices.get(device).memoryLimit = Infinity;
        }
        expect(dy.isDisposed).toBe(donates);
        if (!donates) {
          expectSameBits(await dy.data(), given);
        }
        return valuesOf(x.grad);
      };
      expectSameBits(await run(true), await run(false));
    });

    it('nothing when the call is refused, and does not dispose', async () => {
      const x = batch([2, 4, 4, 4]).donate();
      await expect(new BatchNorm2d(3, { device }).forward(x)).rejects.toThrow('running_mean should contain 4 elements');
      expect(x.isDisposed).toBe(false);
    });
  });

  it('runs 1,000 training steps in constant memory and keeps nothing', async () => {
    const bn = new BatchNorm2d(3, { device });
    const x = batch([2, 3, 4, 4], 1, true);
    const dy = batch([2, 3, 4, 4], 2);
    const step = async (): Promise<void> => {
      const y = await bn.forward(x);
      await y.backward(dy);
      y.dispose();
      bn.zeroGrad();
    };
    await step();
    await step();
    const before = devices.get(device).memoryUsage();
    for (let i = 0; i < 1000; i++) {
      await step();
    }
    expect(devices.get(device).memoryUsage()).toEqual(before);
    expect(bn.numBatchesTracked).toBe(1002);
  });

  it('needs no more than x, y, dy, dx and the vectors of its channels, and in place one less', async () => {
    const peakOf = async (donates: boolean): Promise<number> => {
      const fresh = await freshDevice(kind);
      const bn = new BatchNorm2d(16, { device: fresh });
      const shape = [4, 16, 32, 32];
      const x = tensor(randomArray(1, elementCount(shape)), shape, { device: fresh, requiresGrad: true });
      const y = await bn.forward(x);
      const dy = tensor(randomArray(2, elementCount(shape)), shape, { device: fresh });
      await y.backward(donates ? dy.donate() : dy);
      return devices.get(fresh).memoryUsage().bytesPeak;
    };
    // Large tensors have up to 5 KiB of room each, so that they need not lie at equal distances.
    const bytes = 4 * 4 * 16 * 32 * 32 + 5 * 1024;
    expect(await peakOf(false)).toBeLessThan(4 * bytes + 12 * 1024);
    expect(await peakOf(true)).toBeLessThan(3 * bytes + 12 * 1024);
  });
});

import {
  devices,
  DisposedError,
  type MemoryUsage,
  OutOfMemoryError,
  Parameter,
  scope,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeEach, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { add, multiply, scale } from '../support/operations.ts';

describe.each(deviceKinds)('memory on %s', (kind) => {
  let device = '';
  let other = '';

  beforeEach(async () => {
    device = await freshDevice(kind);
    other = await freshDevice(kind);
  });

  function buffers(): number {
    return devices.get(device).memoryUsage().buffers + devices.get(other).memoryUsage().buffers;
  }

  function leaf(...values: number[]): Tensor {
    return tensor(values, [values.length], { device, requiresGrad: true });
  }

  function plain(...values: number[]): Tensor {
    return tensor(values, [values.length], { device });
  }

  it('is back where it was after backward() and dispose()', async () => {
    const before = buffers();
    const [x, dy] = [leaf(1, 2), plain(3, 4)];
    const trunk = await scale(x, 2);
    const moved = await trunk.to(other);
    const back = await moved.to(device);
    const square = await multiply(back, back);
    const y = await add(square, back);
    await y.backward(dy);
    for (const item of [x, dy, trunk, moved, back, square, y]) {
      item.dispose();
    }
    expect(buffers()).toBe(before);
  });

  it('holds what the graph needs until backward() has run', async () => {
    const before = buffers();
    const [a, b] = [leaf(2), leaf(3)];
    const y = await multiply(a, b);
    const dy = plain(1);
    [a, b].forEach((factor) => factor.dispose());
    expect(buffers()).toBe(before + 4);
    await y.backward(dy);
    // Now the factors are gone, and their gradients are there.
    expect(buffers()).toBe(before + 4);
    [y, dy, a, b].forEach((item) => item.dispose());
    expect(buffers()).toBe(before);
  });

  it('is back where it was when a graph is dropped without backward()', async () => {
    const before = buffers();
    const x = leaf(2);
    const y = await multiply(x, x);
    const z = await multiply(y, y);
    [x, y, z].forEach((item) => item.dispose());
    expect(buffers()).toBe(before);
  });

  it('is back where it was after a failed backward()', async () => {
    const before = buffers();
    const x = leaf(2);
    const y = await multiply(x, x);
    const z = await multiply(y, y);
    const dy = plain(1);
    // Room for nothing: the first gradient that is made does not fit.
    devices.get(device).memoryLimit = 0;
    await expect(z.backward(dy)).rejects.toThrow(OutOfMemoryError);
    devices.get(device).memoryLimit = Infinity;
    expect(x.grad).toBeNull();
    [x, y, z, dy].forEach((item) => item.dispose());
    expect(buffers()).toBe(before);
  });

  it('says how much was wanted and how much is in use when there is no room, and loses nothing', () => {
    const x = plain(1, 2, 3);
    const before = devices.get(device).memoryUsage();
    devices.get(device).memoryLimit = before.bytesInUse + 100;
    let failure: unknown;
    try {
      tensor(new Float32Array(1000), [1000], { device });
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(OutOfMemoryError);
    expect(failure).toMatchObject({ device, bytesInUse: before.bytesInUse });
    expect((failure as OutOfMemoryError).bytesWanted).toBeGreaterThanOrEqual(4000);
    expect(devices.get(device).memoryUsage().bytesInUse).toBe(before.bytesInUse);
    x.dispose();
  });

  describe('scope()', () => {
    it('disposes what is made inside', () => {
      const before = buffers();
      const inside = scope(() => {
        const made = plain(1);
        return () => made;
      })();
      expect(inside.isDisposed).toBe(true);
      expect(buffers()).toBe(before);
    });

    it('spares what is returned, in arrays and objects too, and what is kept', async () => {
      const before = buffers();
      let kept: Tensor | null = null;
      const { a, list } = await scope(async () => {
        kept = plain(3).keep();
        const dropped = plain(4);
        await scale(dropped, 2);
        return { a: plain(1), list: [[plain(2)]] };
      });
      expectSameBits(await a.data(), [1]);
      expectSameBits((await list[0]?.[0]?.data()) ?? [], [2]);
      expectSameBits(await (kept as unknown as Tensor).data(), [3]);
      expect(buffers()).toBe(before + 3);
      [a, list[0]?.[0], kept as unknown as Tensor].forEach((item) => item?.dispose());
    });

    it('passes what is returned to the surrounding scope', () => {
      const before = buffers();
      let inner: Tensor | undefined;
      scope(() => {
        inner = scope(() => plain(1));
        expect(inner.isDisposed).toBe(false);
      });
      expect(inner?.isDisposed).toBe(true);
      expect(buffers()).toBe(before);
    });

    it('disposes when the function fails, and lets the error through', async () => {
      const before = buffers();
      const failing = (): never => {
        plain(1);
        throw new Error('inside');
      };
      expect(() => scope(failing)).toThrow('inside');
      // eslint-disable-next-line @typescript-eslint/require-await -- An asynchronous failure is the case.
      await expect(scope(async () => failing())).rejects.toThrow('inside');
      expect(buffers()).toBe(before);
    });

    it('lets parameters and gradients live', async () => {
      const x = leaf(2);
      const weight = await scope(async () => {
        const made = new Parameter(plain(5));
        await (await multiply(x, made)).backward(plain(1));
        return { hidden: () => made };
      });
      expectSameBits(await weight.hidden().data(), [5]);
      expectSameBits((await weight.hidden().grad?.data()) ?? [], [2]);
      expectSameBits((await x.grad?.data()) ?? [], [5]);
      weight.hidden().dispose();
      x.dispose();
    });

    it('disposes the gradient with its tensor, unless the gradient is returned', async () => {
      const before = buffers();
      const gradient = await scope(async () => {
        const [x, z] = [leaf(2), leaf(3)];
        await (await multiply(x, z)).backward(plain(1));
        return x.grad;
      });
      expectSameBits((await gradient?.data()) ?? [], [3]);
      expect(buffers()).toBe(before + 1);
      gradient?.dispose();
    });

    it('disposes the gradient of a leaf that was donated', async () => {
      const before = buffers();
      await scope(async () => {
        const x = leaf(2).donate();
        const y = await scale(x, 3);
        expect(x.isDisposed).toBe(true);
        await y.backward(plain(1));
        expectSameBits((await x.grad?.data()) ?? [], [3]);
      });
      expect(buffers()).toBe(before);
    });

    it('keeps a training loop of 1,000 steps in constant memory', async () => {
      const weight = new Parameter(plain(1, 1));
      const step = (i: number): Promise<void> =>
        scope(async () => {
          const y = await multiply(await scale(plain(i, 1), 2), weight);
          await y.backward(plain(1, 1));
          weight.grad?.dispose();
          weight.grad = null;
        });
      // With a result, a device in another thread tells what it has pooled and reserved.
      const usage = async (): Promise<MemoryUsage> => {
        await weight.data();
        return devices.get(device).memoryUsage();
      };
      await step(0);
      const before = await usage();
      for (let i = 1; i <= 1000; i++) {
        await step(i);
      }
      const after = await usage();
      expect(after).toEqual({ ...before, bytesPeak: before.bytesPeak });
      weight.dispose();
    });

    it('refuses what is no function', () => {
      expect(() => scope(3 as unknown as () => void)).toThrow(TypeError);
    });
  });

  it('of a gradient goes with its tensor', async () => {
    const x = leaf(2);
    await (await scale(x, 3)).backward(plain(1));
    const { grad } = x;
    x.dispose();
    await expect(grad?.data()).rejects.toThrow(DisposedError);
  });
});

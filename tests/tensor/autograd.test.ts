import { defineFunction, DeviceMismatchError, devices, GraphFreedError, noGrad, tensor, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { add, alike, multiply, scale, weightedSum } from '../support/operations.ts';

describe.each(deviceKinds)('backward() on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  function leaf(...values: number[]): Tensor {
    return tensor(values, [values.length], { device, requiresGrad: true });
  }

  function plain(...values: number[]): Tensor {
    return tensor(values, [values.length], { device });
  }

  async function gradOf(x: Tensor): Promise<number[] | null> {
    return x.grad && [...(await x.grad.data())];
  }

  it('brings the gradient of a product to both factors', async () => {
    const [a, b] = [leaf(2, 3), leaf(5, 7)];
    const y = await multiply(a, b);
    await y.backward(plain(1, 10));
    expect(await gradOf(a)).toEqual([5, 70]);
    expect(await gradOf(b)).toEqual([2, 30]);
  });

  it('sums the gradients of an input that is used twice', async () => {
    const x = leaf(3, 4);
    const y = await multiply(x, x);
    await y.backward(plain(1, 1));
    expect(await gradOf(x)).toEqual([6, 8]);
  });

  it('runs each node of a diamond once, with the sum of what reaches it', async () => {
    const x = leaf(1, 2);
    const trunk = await scale(x, 3);
    const y = await add(await scale(trunk, 5), await multiply(trunk, trunk));
    await y.backward(plain(1, 1));
    expect(await gradOf(x)).toEqual([3 * (5 + 2 * 3), 3 * (5 + 2 * 6)]);
  });

  it('adds to the gradient of the step before, in the same tensor', async () => {
    const x = leaf(1);
    await (await scale(x, 2)).backward(plain(1));
    const first = x.grad;
    await (await scale(x, 5)).backward(plain(1));
    expect(x.grad).toBe(first);
    expect(await gradOf(x)).toEqual([7]);
  });

  it('changes neither dy nor a gradient that shares its memory when it adds', async () => {
    const [a, b] = [leaf(1), leaf(1)];
    const dy = plain(4);
    await (await add(a, b)).backward(dy);
    await (await scale(a, 10)).backward(plain(1));
    expect(await gradOf(a)).toEqual([14]);
    expect(await gradOf(b)).toEqual([4]);
    expectSameBits(await dy.data(), [4]);
  });

  it('gives a leaf its own gradient', async () => {
    const x = leaf(1, 2);
    const dy = plain(3, 4);
    await x.backward(dy);
    await x.backward(dy);
    expect(await gradOf(x)).toEqual([6, 8]);
    expectSameBits(await dy.data(), [3, 4]);
  });

  it('takes dy = 1 for a tensor of one element', async () => {
    const x = leaf(2, 3);
    await (await weightedSum(x, Float32Array.of(5, 7))).backward();
    expect(await gradOf(x)).toEqual([5, 7]);
  });

  it('gives no gradient to what does not require one', async () => {
    const [a, b] = [leaf(2), plain(3)];
    const y = await multiply(a, b);
    await y.backward(plain(1));
    expect(await gradOf(a)).toEqual([3]);
    expect(b.grad).toBeNull();
  });

  it('carries gradients back across devices', async () => {
    const x = leaf(1, 2);
    const moved = await x.to(other);
    const y = await scale(moved, 3);
    expect(y.device).toBe(other);
    await y.backward(tensor([1, 10], [2], { device: other }));
    expect(x.grad?.device).toBe(device);
    expect(await gradOf(x)).toEqual([3, 30]);
  });

  it('reaches a leaf that was disposed after use', async () => {
    const x = leaf(2);
    const y = await scale(x, 3);
    x.dispose();
    await y.backward(plain(1));
    expect(await gradOf(x)).toEqual([3]);
  });

  it('runs although the result, what is between and dy are disposed while it runs', async () => {
    const x = leaf(2);
    const between = await scale(x, 3);
    const y = await multiply(between, between);
    const dy = plain(1);
    const pass = y.backward(dy);
    [y, between, dy].forEach((gone) => gone.dispose());
    await pass;
    expect(await gradOf(x)).toEqual([36]);
  });

  it('runs when what is between was disposed before', async () => {
    const x = leaf(2);
    const between = await scale(x, 3);
    const y = await multiply(between, between);
    between.dispose();
    await y.backward(plain(1));
    expect(await gradOf(x)).toEqual([36]);
  });

  it('keeps an input in the graph that is disposed while the operation runs', async () => {
    const x = leaf(2);
    const between = await scale(x, 3);
    const pending = scale(between, 5);
    between.dispose();
    await (await pending).backward(plain(1));
    expect(await gradOf(x)).toEqual([15]);
  });

  it('walks a chain of 100,000 nodes', async () => {
    const same = defineFunction({ forward: (_context, x: Tensor) => x, backward: (_context, dy) => dy });
    const x = leaf(1);
    let y: Tensor = x;
    for (let i = 0; i < 100_000; i++) {
      y = await same(y);
    }
    await y.backward(plain(7));
    expect(await gradOf(x)).toEqual([7]);
  });

  it('frees an unused chain of 100,000 nodes with its last tensor', async () => {
    const same = defineFunction({ forward: (_context, x: Tensor) => x, backward: (_context, dy) => dy });
    const fresh = await freshDevice(kind);
    const x = tensor([1], [1], { device: fresh, requiresGrad: true });
    const { buffers } = devices.get(fresh).memoryUsage();
    let y = await scale(x, 2);
    for (let i = 0; i < 100_000; i++) {
      const next = await same(y);
      y.dispose();
      y = next;
    }
    expect(devices.get(fresh).memoryUsage().buffers).toBe(buffers + 1);
    y.dispose();
    expect(devices.get(fresh).memoryUsage().buffers).toBe(buffers);
  });

  it('lets two passes run at once and loses neither sum', async () => {
    const x = leaf(1);
    const [a, b] = [await scale(x, 2), await scale(x, 3)];
    await Promise.all([a.backward(plain(1)), b.backward(plain(1))]);
    expect(await gradOf(x)).toEqual([5]);
  });

  it('refuses to run twice', async () => {
    const x = leaf(1);
    const y = await scale(x, 2);
    await y.backward(plain(1));
    await expect(y.backward(plain(1))).rejects.toThrow(GraphFreedError);
    await expect(y.backward(plain(1))).rejects.toThrow('Trying to backward through the graph a second time: scale');
    expect(await gradOf(x)).toEqual([2]);
  });

  it('refuses a graph whose trunk another pass has freed, and changes nothing', async () => {
    const [x, z] = [leaf(1), leaf(1)];
    const trunk = await scale(x, 2);
    const [a, b] = [await scale(trunk, 3), await add(trunk, z)];
    await a.backward(plain(1));
    await expect(b.backward(plain(1))).rejects.toThrow(GraphFreedError);
    expect(await gradOf(x)).toEqual([6]);
    expect(z.grad).toBeNull();
  });

  it.each([
    ['no dy for many elements', () => undefined, RangeError, 'grad can be implicitly created only for scalar outputs'],
    ['a dy of another shape', () => plain(1, 2, 3), RangeError, 'expected a gradient of shape [2], got [3]'],
    ['a dy that is a number', () => 1, TypeError, 'expected a Tensor, got a number'],
    ['a dy on another device', () => tensor([1, 1], [2], { device: other }), DeviceMismatchError, other],
  ])('refuses %s and can run afterwards', async (_, dy, type, text) => {
    const x = leaf(1, 2);
    const y = await scale(x, 2);
    const attempt = y.backward(dy() as Tensor);
    await expect(attempt).rejects.toThrow(type);
    await expect(attempt).rejects.toThrow(text);
    expect(x.grad).toBeNull();
    await y.backward(plain(1, 1));
    expect(await gradOf(x)).toEqual([2, 2]);
  });

  it('refuses a tensor that requires no gradient', async () => {
    await expect(plain(1).backward()).rejects.toThrow('does not require grad');
    const y = await noGrad(async () => scale(leaf(1), 2));
    await expect(y.backward()).rejects.toThrow('does not require grad');
  });

  it('leaves the gradients of all leaves untouched when a node fails', async () => {
    const failing = defineFunction({
      name: 'failing',
      forward: async (_context, x: Tensor) => alike(x, await x.data()),
      backward: () => Promise.reject(new RangeError('no gradient today')),
    });
    const [a, b] = [leaf(1), leaf(1)];
    await (await scale(a, 2)).backward(plain(1));
    const y = await add(await scale(a, 3), await failing(b));
    await expect(y.backward(plain(1))).rejects.toThrow('no gradient today');
    expect(await gradOf(a)).toEqual([2]);
    expect(b.grad).toBeNull();
  });
});

/** `view()` and `reshape()`: other shapes for the same memory. */

import { BatchNorm1d, BatchNorm2d, devices, init, noGrad, Parameter, tensor, type Tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { deviceKinds } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { randomArray } from '../support/random.ts';

beforeAll(() => init());

const counting = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => i);

describe.each(deviceKinds)('a view on %s', (kind) => {
  it('of rows as a channels-last batch, and back, has no memory of its own and carries gradients', async () => {
    const device = await freshDevice(kind);
    const [n, c, h, w] = [3, 5, 2, 2] as const;
    const values = randomArray(1, n * c * h * w, { offset: 1 });
    const rows = tensor(values, [n * h * w, c], { device, requiresGrad: true });
    const { buffers } = devices.get(device).memoryUsage();
    const image = rows.view([n, c, h, w], { order: 'memory', memoryFormat: 'channels_last' });
    const back = image.view([n * h * w, c], { order: 'memory' });
    expect(devices.get(device).memoryUsage().buffers).toBe(buffers);
    expect(await image.data({ order: 'memory' })).toEqual(values);
    expect(await back.data()).toEqual(values);
    // The statistics of a batch are those of its rows.
    const ofImages = new BatchNorm2d(c, { device });
    const ofRows = new BatchNorm1d(c, { device });
    const y = await ofImages.forward(image);
    const gradient = randomArray(2, values.length);
    const dy = tensor(gradient, [n, c, h, w], { device, memoryFormat: 'channels_last', order: 'memory' });
    // Also where the gradient is contiguous.
    const contiguous = tensor(await dy.data(), [n, c, h, w], { device });
    await y.backward(contiguous);
    const same = new Parameter(rows.detach());
    await (await ofRows.forward(same)).backward(tensor(gradient, [n * h * w, c], { device }));
    expect(await rows.grad?.data()).toEqual(await same.grad?.data());
    expect(rows.grad).not.toBeNull();
  });

  it('that needs another order of values is copied by reshape(), differentiably', async () => {
    const device = await freshDevice(kind);
    const x = tensor(counting(24), [2, 3, 2, 2], { device, memoryFormat: 'channels_last', requiresGrad: true });
    expect(() => x.view([6, 4])).toThrow('view(): shape [6, 4] needs another order in memory');
    const y = x.reshape([6, 4]);
    expect(await y.data()).toEqual(counting(24));
    await y.backward(tensor(counting(24), [6, 4], { device }).donate());
    expect(await x.grad?.data()).toEqual(counting(24));
    y.dispose();
    x.dispose();
    expect(devices.get(device).memoryUsage().buffers).toBe(0);
  });
});

describe('a view', () => {
  const shapes = [[24], [2, 12], [4, 6], [2, 3, 4], [2, 3, 2, 2], [1, 24], [24, 1, 1], [2, 3, 1, 4], [2, 3, 4, 1]];
  const formats = ['contiguous', 'channels_last'] as const;
  const pairs = shapes.flatMap((from) => shapes.map((to) => [from, to] as const));

  it.each(pairs)('and a reshape of %j as %j keep the logical order of values', (from, to) => {
    for (const memoryFormat of formats.slice(0, from.length > 2 ? 2 : 1)) {
      const x = tensor(counting(24), from, { memoryFormat });
      expect(x.reshape(to).dataSync()).toEqual(counting(24));
      expect(x.reshape(to).shape).toEqual(to);
      let view: Tensor | null = null;
      try {
        view = x.view(to);
      } catch (error) {
        expect(String(error)).toContain('needs another order in memory');
      }
      // Where view() shares the memory, reshape() does.
      if (view !== null) {
        expect(view.dataSync()).toEqual(counting(24));
        expect(x.reshape(to).storage).toBe(x.storage);
      }
      // A contiguous tensor has every view.
      expect(view !== null || memoryFormat === 'channels_last').toBe(true);
    }
  });

  it.each([
    [
      [2, 3, 2, 2],
      [2, 3, 4],
    ],
    [
      [2, 3, 2, 2],
      [2, 3, 4, 1, 1],
    ],
    [[5, 1, 2, 2], [20]],
    [[1, 7, 1, 1], [7]],
    [
      [3, 0, 2, 2],
      [0, 9],
    ],
  ])('of a channels-last tensor of shape %j as %j is possible', (from, to) => {
    const count = from.reduce((product, size) => product * size, 1);
    const x = tensor(counting(count), from, { memoryFormat: 'channels_last' });
    expect(x.view(to).dataSync()).toEqual(counting(count));
  });

  it.each([
    [[-1], [24]],
    [
      [2, -1],
      [2, 12],
    ],
    [
      [-1, 3, 4],
      [2, 3, 4],
    ],
  ])('of shape %j is one of shape %j', (given, shape) => {
    expect(tensor(counting(24)).view(given).shape).toEqual(shape);
  });

  it.each<[unknown, ErrorConstructor, string]>([
    [[5], RangeError, 'view(): shape [5] is invalid for a tensor of 24 values, of shape [2, 12]'],
    [[-1, 5], RangeError, 'shape [-1, 5] is invalid'],
    [[-1, -1], RangeError, 'non-negative'],
    [[0, -1], RangeError, 'shape [0, -1] is invalid'],
    [[2.5, -1], RangeError, 'non-negative integers'],
    [24, TypeError, 'expected a shape'],
    ['24', TypeError, 'expected a shape'],
  ])('of shape %j is refused', (shape, kind, text) => {
    const x = tensor(counting(24), [2, 12]);
    expect(() => x.view(shape as number[])).toThrow(kind);
    expect(() => x.view(shape as number[])).toThrow(text);
  });

  it('refuses options that do not suit', () => {
    const x = tensor(counting(24), [2, 3, 2, 2]);
    expect(() => x.view([24], { memoryFormat: 'contiguous' })).toThrow("together with order: 'memory'");
    expect(() => x.view([24], { order: 'memory', memoryFormat: 'channels_last' })).toThrow('rank 3 or more');
    expect(() => x.view([24], { order: 'rows' as 'memory' })).toThrow("to be 'logical' or 'memory', got 'rows'");
    expect(() => x.view([24], { ordre: 'memory' } as object)).toThrow('did you mean order?');
  });

  it('is left alone by copy_() on the other', async () => {
    const x = tensor(counting(4));
    const y = x.view([2, 2]);
    await x.copy_(Float32Array.of(9, 9, 9, 9));
    expect(y.dataSync()).toEqual(counting(4));
    await y.copy_(Float32Array.of(7, 7, 7, 7));
    expect(x.dataSync()).toEqual(Float32Array.of(9, 9, 9, 9));
  });

  it('is recorded like any operation, and disposes what is donated', () => {
    const x = tensor(counting(4), [4], { requiresGrad: true });
    expect(noGrad(() => x.view([2, 2])).requiresGrad).toBe(false);
    const y = x.view([2, 2]);
    expect([y.requiresGrad, y.isLeaf]).toEqual([true, false]);
    y.view([1, 4]).backwardSync(tensor(counting(4), [1, 4]));
    expect(x.grad?.dataSync()).toEqual(counting(4));
    const donated = tensor(counting(4));
    expect(donated.donate().view([2, 2]).isOverwritable).toBe(false);
    expect(donated.isDisposed).toBe(true);
    const arranged = tensor(counting(8), [1, 2, 2, 2], { memoryFormat: 'channels_last' }).donate();
    expect(arranged.reshape([8]).dataSync()).toEqual(counting(8));
    expect(arranged.isDisposed).toBe(true);
  });

  it('of a tensor whose device is not ready waits with it', async () => {
    const x = tensor(counting(8), [1, 2, 2, 2], { device: 'cpu:54', memoryFormat: 'channels_last' });
    const rows = x.view([4, 2], { order: 'memory' });
    expect(await rows.data()).toEqual(Float32Array.of(0, 4, 1, 5, 2, 6, 3, 7));
    expect(await x.data()).toEqual(counting(8));
  });
});

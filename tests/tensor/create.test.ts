import { init, tensor, UnknownDeviceError } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';

/** Calls from JavaScript, where nothing checks the types. */
const untyped = tensor as (...args: unknown[]) => unknown;

describe.each(deviceKinds)('tensor() on %s', (kind) => {
  const [device = ''] = deviceNames(kind, 1);

  it.each([
    { shape: [2, 3, 4, 5], memoryFormat: 'contiguous' },
    { shape: [2, 3, 4, 5], memoryFormat: 'channels_last' },
    { shape: [2, 1, 7], memoryFormat: 'channels_last' },
    { shape: [2, 7, 1, 1, 1], memoryFormat: 'channels_last' },
    { shape: [0, 3, 2], memoryFormat: 'channels_last' },
    { shape: [6], memoryFormat: 'contiguous' },
    { shape: [], memoryFormat: 'contiguous' },
    { shape: [0], memoryFormat: 'contiguous' },
  ] as const)('gives back the data of $shape, $memoryFormat, in logical order', async ({ shape, memoryFormat }) => {
    const values = randomArray(
      1,
      (shape as readonly number[]).reduce((a, b) => a * b, 1),
    );
    await init([device]);
    const x = tensor(values, shape, { device, memoryFormat });
    expectSameBits(await x.data(), values);
    expect(x).toMatchObject({ shape, memoryFormat, device, requiresGrad: false, isLeaf: true, grad: null });
  });

  it('copies its data', async () => {
    const values = Float32Array.of(1, 2);
    const x = tensor(values, [2], { device });
    values[0] = 5;
    expectSameBits(await x.data(), [1, 2]);
  });

  it('keeps NaN, infinities and −0', async () => {
    const values = [Number.NaN, Infinity, -Infinity, -0];
    expectSameBits(await tensor(values, [4], { device }).data(), values);
  });
});

describe('tensor()', () => {
  it('takes numbers nested to any depth and reads their shape', async () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(x.shape).toEqual([2, 3]);
    expectSameBits(await x.data(), [1, 2, 3, 4, 5, 6]);
  });

  it('takes a number as a tensor without dimensions', async () => {
    const x = tensor(3);
    expect(x.shape).toEqual([]);
    expect(await x.item()).toBe(3);
  });

  it('takes a flat list in the shape given', () => {
    expect(tensor([1, 2, 3, 4], [2, 2]).shape).toEqual([2, 2]);
  });

  it('does not let its shape be changed', () => {
    const shape = [2, 1];
    const x = tensor([1, 2], shape);
    shape[0] = 7;
    expect(x.shape).toEqual([2, 1]);
    expect(() => {
      (x.shape as number[])[0] = 7;
    }).toThrow(TypeError);
  });

  it("calls 'cpu' by its full name", () => {
    expect(tensor([1], [1], { device: 'cpu' }).device).toBe('cpu:0');
  });

  it.each([
    ['too few values', [new Float32Array(3), [2, 2]], RangeError, 'expected 4 values for shape [2, 2], got 3'],
    ['too many values', [[1, 2, 3], [2]], RangeError, 'expected 2 values for shape [2], got 3'],
    ['a ragged array', [[[1, 2], [3], [4, 5, 6]]], RangeError, 'expected sequence of length 2 at dim 1 (got 1)'],
    ['a number among arrays', [[[1, 2], 3]], RangeError, 'expected sequence of length 2 at dim 1 (got number)'],
    ['an array among numbers', [[1, [2]]], TypeError, 'expected data as a Float32Array or (nested) numbers, got Array'],
    ['a string', ['12', [2]], TypeError, 'got string'],
    ['null', [null, [1]], TypeError, 'got null'],
    ['a Float64Array', [new Float64Array(2), [2]], TypeError, 'got Float64Array'],
    ['a negative size', [[], [-1, 0]], RangeError, 'non-negative integers, got shape [-1, 0]'],
    ['a fraction of a size', [[1], [1.5]], RangeError, 'non-negative integers'],
    ['NaN for a size', [[1], [Number.NaN]], RangeError, 'non-negative integers'],
    ['a string for a size', [[1], ['1']], TypeError, 'expected a shape of numbers'],
    ['a number for a shape', [[1], 1], TypeError, 'expected a shape such as'],
    ['a shape too large to count', [[], [2 ** 40, 2 ** 40]], RangeError, 'more elements than can be counted'],
    ['a flag that is none', [[1], [1], { requiresGrad: 1 }], TypeError, 'requiresGrad: expected a boolean'],
    ['a format that is none', [[1], [1, 1, 1], { memoryFormat: 'NHWC' }], TypeError, "expected 'contiguous'"],
    [
      'channels-last of rank 2',
      [[1], [1, 1], { memoryFormat: 'channels_last' }],
      RangeError,
      'expected rank 3 or more',
    ],
    ['a number for a device', [[1], [1], { device: 0 }], TypeError, 'expected a device name'],
  ])('refuses %s', (_, args, type, text) => {
    const attempt = (): unknown => untyped(...args);
    expect(attempt).toThrow(type);
    expect(attempt).toThrow(text);
  });

  it.each(['gpu', 'cpu:64', 'cpu:-1', 'cpu:01', '', 'CPU'])(
    'refuses the device %j and lists those that exist',
    (device) => {
      expect(() => tensor([1], [1], { device })).toThrow(UnknownDeviceError);
      expect(() => tensor([1], [1], { device })).toThrow('expected one of cpu, cpu:0, cpu:1');
    },
  );
});

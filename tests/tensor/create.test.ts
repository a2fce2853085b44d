import fc from 'fast-check';
import { devices, init, tensor, Tensor, UnknownDeviceError } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';

/** Calls from JavaScript, where nothing checks the types. */
const untyped = tensor as (...args: unknown[]) => unknown;

/** An array with these items and holes elsewhere. */
function holed(length: number, items: Readonly<Record<number, unknown>>): unknown[] {
  return Object.assign(new Array<unknown>(length), items);
}

/** Sparse, so that it takes no memory. */
const manyHoles = [1];
manyHoles.length = 2 ** 32 - 1;
const selfContaining: unknown[] = [];
selfContaining.push(selfContaining);
const besideItself: unknown[] = [1];
besideItself.push(besideItself);
let deep: unknown = 1;
for (let depth = 0; depth < 100_000; depth += 1) deep = [deep];

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

  it('copies data in memory that threads share', async () => {
    // Pages have this memory although they may not name its class.
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const shared = new Float32Array(buffer, 8, 3);
    shared.set([1, 2, 3]);
    await init([device]);
    const x = tensor(shared, [3], { device });
    const y = await tensor([0, 0, 0], [3], { device }).copy_(shared);
    shared.fill(9);
    expectSameBits(await x.data(), [1, 2, 3]);
    expectSameBits(await y.data(), [1, 2, 3]);
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
    ['a number among arrays', [[[1, 2], 3]], RangeError, 'expected sequence of length 2 at dim 1 (got the number 3)'],
    [
      'an array among numbers',
      [[1, [2]]],
      TypeError,
      'expected data as a Float32Array or (nested) numbers, got an array',
    ],
    ['a string', ['12', [2]], TypeError, 'got a string'],
    ['null', [null, [1]], TypeError, 'got null'],
    ['a bigint', [[1n], [1]], TypeError, 'got a bigint'],
    ['a boxed number', [[Object(1)]], TypeError, 'got a value of class Number'],
    ['a hole', [holed(3, { 0: 1, 2: 3 })], TypeError, 'numbers, got undefined'],
    ['a hole at the end', [holed(3, { 0: 1, 1: 2 })], TypeError, 'numbers, got undefined'],
    ['holes alone', [holed(4, {}), [4]], TypeError, 'numbers, got undefined'],
    ['a hole among rows', [holed(3, { 0: [1, 2], 2: [3, 4] })], TypeError, 'numbers, got undefined'],
    ['more holes than there is memory', [manyHoles], TypeError, 'numbers, got undefined'],
    ['null among rows', [[[1, 2], null]], TypeError, 'numbers, got null'],
    ['an array that contains itself', [selfContaining], TypeError, 'an array that contains itself'],
    ['an array that contains itself beside a number', [besideItself], TypeError, 'got an array'],
    ['numbers nested 100,000 deep', [deep], TypeError, 'nested at most 64 deep'],
    [
      'a list of typed arrays',
      [[Float32Array.of(1, 2), Float32Array.of(3, 4)]],
      TypeError,
      'become one Float32Array with a shape: tensor(values, [2, 3])',
    ],
    ['options in place of the shape', [[1], { device: 'cpu' }], TypeError, 'options come after the shape: tensor('],
    ['data that nobody awaited', [Promise.resolve([1])], TypeError, 'got a promise (await it)'],
    ['a shape that nobody awaited', [[1], Promise.resolve([1])], TypeError, 'got a promise (await it)'],
    ['a device that nobody awaited', [[1], [1], { device: devices.best() }], TypeError, 'got a promise (await it)'],
    ['a tensor', [tensor([1])], TypeError, 'await tensor.data() gives the values'],
    ['a buffer', [new ArrayBuffer(8), [2]], TypeError, 'got a value of class ArrayBuffer; new Float32Array(buffer)'],
    ['BigInts', [new BigInt64Array(2), [2]], TypeError, 'Float32Array.from(values, Number) converts BigInts'],
    [
      'a Float64Array',
      [new Float64Array(2), [2]],
      TypeError,
      'got a value of class Float64Array; Float32Array.from() converts',
    ],
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

describe('new Tensor()', () => {
  it.each([[[]], [[[1, 2], [2]]], [[{}]], [[null]]])('is refused with %j, and says how tensors are made', (args) => {
    const construct = (): unknown => Reflect.construct(Tensor, args);
    expect(construct).toThrow(TypeError);
    expect(construct).toThrow('make a tensor with tensor(data, shape)');
  });
});

/** Says that it is longer, lies elsewhere and holds other things than it does. */
class Liar extends Float32Array {
  override get length(): 1_000_000 {
    return 1_000_000;
  }
  override get byteOffset(): 0 {
    return 0;
  }
  override get byteLength(): 4_000_000 {
    return 4_000_000;
  }
  override slice(): Float32Array<ArrayBuffer> {
    return new Float32Array(1_000_000);
  }
  override subarray(): Float32Array<ArrayBuffer> {
    return new Float32Array(1_000_000);
  }
  override *[Symbol.iterator](): ArrayIterator<number> {
    yield 99;
  }
}

interface Given {
  readonly name: string;
  readonly make: (values: readonly number[]) => Float32Array;
}

/** Arrays that are no plain `Float32Array`, or do not look like one. */
const unusual: readonly Given[] = [
  { name: 'of a lying subclass', make: (values) => new Liar(Float32Array.of(9, ...values).buffer, 4, values.length) },
  {
    name: 'with a lying length of its own',
    make: (values) => Object.defineProperty(Float32Array.from(values), 'length', { value: 1_000_000 }),
  },
  {
    name: 'of a class that is not known here, as of another realm',
    make: (values) => {
      const array = Float32Array.from(values);
      Object.setPrototypeOf(array, null);
      return array;
    },
  },
  {
    name: 'in memory that can grow',
    make: (values) => {
      const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer;
      const array = new Float32Array(new Resizable(4 * values.length, { maxByteLength: 1024 }));
      array.set(values);
      return array;
    },
  },
];

describe.each(unusual)('a Float32Array $name', ({ make }) => {
  it('becomes a tensor of what is in it', async () => {
    await init();
    const x = tensor(make([1, 2, 3]));
    expect(x.shape).toEqual([3]);
    expectSameBits(await x.data(), [1, 2, 3]);
    expectSameBits(await tensor(make([1, 2, 3, 4]), [2, 2]).data(), [1, 2, 3, 4]);
    expect(() => tensor(make([1, 2, 3]), [1_000_000])).toThrow('expected 1000000 values for shape [1000000], got 3');
  });

  it('is copied before the device is ready', async () => {
    const name = `cpu:${40 + unusual.findIndex((each) => each.make === make)}`;
    const values = make([1, 2, 3]);
    const x = tensor(values, [3], { device: name });
    Float32Array.prototype.fill.call(values, 9);
    expectSameBits(await x.data(), [1, 2, 3]);
    await init([name]);
    expectSameBits(await x.data(), [1, 2, 3]);
  });

  it('is copied by copy_()', async () => {
    const x = await tensor([0, 0, 0]).copy_(make([1, 2, 3]));
    expectSameBits(await x.data(), [1, 2, 3]);
    await expect(x.copy_(make([1, 2]))).rejects.toThrow('expected 3 values for shape [3], got 2');
  });
});

it('a Float32Array whose memory was transferred away is empty', () => {
  const array = Float32Array.of(1, 2);
  structuredClone(array, { transfer: [array.buffer] });
  expect(tensor(array).shape).toEqual([0]);
  expect(() => tensor(array, [2])).toThrow('expected 2 values for shape [2], got 0');
});

describe('nested data of any kind', () => {
  /** What an array of numbers of this shape would be: the rule, said without the code under test. */
  function shapeIfRegular(data: unknown): readonly number[] | null {
    if (typeof data === 'number') return [];
    if (!Array.isArray(data)) return null;
    const shapes = Array.from(data as unknown[], shapeIfRegular);
    const [first = []] = shapes;
    return shapes.every((shape) => shape !== null && String(shape) === String(first) && shape.length === first?.length)
      ? [data.length, ...(first ?? [])]
      : null;
  }

  const { tree } = fc.letrec<{ tree: unknown; array: unknown[] }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      { weight: 6, arbitrary: fc.double() },
      { weight: 1, arbitrary: fc.anything() },
      { weight: 4, arbitrary: tie('array') },
    ),
    array: fc.oneof(
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.sparseArray<unknown>(tie('tree'), { maxNumElements: 3, maxLength: 4 }),
    ),
  }));

  /** An array of numbers of a random shape, some of whose places are changed. */
  const nearlyRegular = fc
    .tuple(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 4 }), fc.array(tree, { maxLength: 2 }), fc.nat())
    .map(([shape, changes, place]) => {
      const fill = ([size, ...rest]: readonly number[]): unknown =>
        size === undefined ? 1 : Array.from({ length: size }, () => fill(rest));
      const data = [fill(shape)];
      for (const [i, change] of changes.entries()) {
        let at: unknown[] = data;
        for (let step = place + i; Array.isArray(at[step % at.length]) && step % 7 > 1; step = Math.floor(step / 3)) {
          at = at[step % at.length] as unknown[];
        }
        at[(place + i) % Math.max(1, at.length)] = change;
      }
      return data[0];
    });

  it('is a tensor of its shape and values, or one error', async () => {
    await init();
    let regular = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(tree, nearlyRegular), async (data) => {
        const shape = shapeIfRegular(data);
        if (data instanceof Float32Array) return;
        const before = devices.get('cpu').memoryUsage().buffers;
        if (shape === null) {
          expect(() => untyped(data)).toThrow(/^expected (data as|sequence of)/);
          expect(devices.get('cpu').memoryUsage().buffers).toBe(before);
          return;
        }
        regular += 1;
        const x = untyped(data) as Tensor;
        // Of an empty dimension nothing inside is seen.
        expect(x.shape.slice(0, shape.length)).toEqual(shape);
        expectSameBits(await x.data(), Float32Array.from([data].flat(Infinity) as number[]));
        x.dispose();
      }),
      { seed: 14, numRuns: 2000 },
    );
    expect(regular).toBeGreaterThan(200);
  });
});

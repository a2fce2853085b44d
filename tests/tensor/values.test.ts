/** Values in and out of tensors: into given arrays, in the order of memory, from typed arrays of every kind. */

import { empty, init, Parameter, tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { deviceKinds } from '../support/device_kinds.ts';

const shape = [1, 2, 2, 2];
const logical = Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7);
const inMemory = Float32Array.of(0, 4, 1, 5, 2, 6, 3, 7);
const memoryFormat = 'channels_last';

beforeAll(() => init(['cpu', 'worker', 'webgpu']));

describe.each(deviceKinds)('a tensor on %s', (device) => {
  it('takes and gives values in the order of memory', async () => {
    const x = tensor(inMemory, shape, { device, memoryFormat, order: 'memory' });
    expect(await x.data()).toEqual(logical);
    expect(await x.data({ order: 'memory' })).toEqual(inMemory);
    const y = tensor(logical, shape, { device, memoryFormat });
    expect(await y.data({ order: 'memory' })).toEqual(inMemory);
    await y.copy_(logical, { order: 'memory' });
    expect(await y.data({ order: 'memory' })).toEqual(logical);
    await y.copy_(logical);
    expect(await y.data()).toEqual(logical);
  });

  it('puts its values into an array that is given, of any kind of memory', async () => {
    const x = tensor(logical, shape, { device, memoryFormat });
    const { buffer } = new WebAssembly.Memory({ initial: 1 });
    const heap = new Float32Array(buffer, 64, 8);
    expect(await x.data(heap)).toBe(heap);
    expect(heap).toEqual(logical);
    expect(await x.data(heap, { order: 'memory' })).toBe(heap);
    expect(heap).toEqual(inMemory);
    expect(new Float32Array(buffer, 60, 10)).toEqual(Float32Array.of(0, ...inMemory, 0));
  });

  it('may be empty until it is given values', async () => {
    const x = empty(shape, { device, memoryFormat });
    expect([x.shape, x.device, x.memoryFormat, x.requiresGrad]).toEqual([shape, `${device}:0`, memoryFormat, false]);
    expect(await x.data()).toHaveLength(8);
    await x.copy_(logical);
    expect(await x.data()).toEqual(logical);
  });
});

describe('a tensor', () => {
  const x = (): Parameter => new Parameter(tensor([1, 2, 3]));

  it.each<[string, unknown, ErrorConstructor]>([
    ['an array', [0, 0, 0], TypeError],
    ['another kind of array', new Float64Array(3), TypeError],
    ['bytes', new Uint8Array(12), TypeError],
    ['a shorter array', new Float32Array(2), RangeError],
    ['a longer array', new Float32Array(4), RangeError],
  ])('refuses to put its values into %s', async (_name, target, kind) => {
    await expect(x().data(target as Float32Array)).rejects.toThrow(kind);
    expect(() => x().dataSync(target as Float32Array)).toThrow(kind);
  });

  it('refuses an array whose memory has gone while the values were read', async () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const target = new Float32Array(memory.buffer, 0, 3);
    const reading = tensor([1, 2, 3], [3], { device: 'worker' }).data(target);
    memory.grow(1);
    await expect(reading).rejects.toThrow('of a WebAssembly that has grown, is gone');
  });

  it('puts its values into shared memory', async () => {
    // Pages that are not isolated have no `SharedArrayBuffer` by name.
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const target = new Float32Array(buffer, 4, 3);
    await x().data(target);
    expect(Array.from(target)).toEqual([1, 2, 3]);
  });

  it.each([
    Int8Array.of(-1, 0, 7),
    Uint8Array.of(1, 0, 255),
    Uint8ClampedArray.of(1, 0, 255),
    Int16Array.of(-1, 0, 7),
    Uint16Array.of(1, 0, 65535),
    Int32Array.of(-1, 0, 7),
    Uint32Array.of(1, 0, 2 ** 31),
    Float64Array.of(0.5, -2, 0.1),
  ])('copies %o as f32, before copy_() returns', (values) => {
    const parameter = x();
    void parameter.copy_(values);
    expect(parameter.dataSync()).toEqual(Float32Array.from(values));
  });

  it.each([BigInt64Array.of(1n, 2n, 3n), new DataView(new ArrayBuffer(12)), [1, 2, 3], new ArrayBuffer(12)])(
    'does not copy %o',
    async (values) => {
      await expect(x().copy_(values as unknown as Float32Array)).rejects.toThrow('a typed array of numbers');
    },
  );

  it('names an order that there is not, and data in the order of memory without a shape', async () => {
    await expect(x().data({ order: 'nhwc' as 'memory' })).rejects.toThrow("'logical' or 'memory', got 'nhwc'");
    await expect(x().copy_(new Float32Array(3), { order: 1 as never })).rejects.toThrow('got 1');
    expect(() => tensor([1], [1], { order: 'nhwc' as 'memory' })).toThrow("'logical' or 'memory', got 'nhwc'");
    expect(() => tensor([[[1]]], undefined, { order: 'memory', memoryFormat })).toThrow(
      'expected a shape in the order',
    );
  });

  it('that is empty is made before its device is ready', async () => {
    const y = empty([3], { device: 'cpu:53', requiresGrad: true });
    expect([y.requiresGrad, y.device]).toEqual([true, 'cpu:53']);
    expect(await y.data()).toHaveLength(3);
  });

  it.each([[-1], [1.5], ['3']])('that is empty is of no shape %j', (...sizes) => {
    expect(() => empty(sizes as number[])).toThrow();
  });
});

describe('what takes a tensor for an array', () => {
  const x = tensor([1, 2, 3]);

  it.each<[string, () => unknown]>([
    ['Array.from()', () => Array.from(x as unknown as ArrayLike<number>)],
    ['new Float32Array()', () => new Float32Array(x as unknown as ArrayLike<number>)],
    ['Float32Array.from()', () => Float32Array.from(x as unknown as ArrayLike<number>)],
    ['set()', () => new Float32Array(3).set(x as unknown as ArrayLike<number>)],
    ['Math.max()', () => Reflect.apply(Math.max, null, x as unknown as number[])],
  ])('is told by %s how to get the values', (_name, call) => {
    expect(call).toThrow('a tensor is no array: await tensor.data()');
  });

  it('is refused by the platform where it iterates', () => {
    expect(() => [...(x as unknown as number[])]).toThrow('is not iterable');
  });
});

describe('an array whose memory is gone', () => {
  const gone = (): Float32Array => {
    const array = new Float32Array(3);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    return array;
  };

  it.each<[string, () => unknown]>([
    ['tensor()', () => tensor(gone(), [3])],
    ['copy_()', () => tensor([1, 2, 3]).copy_(gone())],
    ['data()', () => tensor([1, 2, 3]).data(gone())],
  ])('is refused by %s, which says what has become of it', async (_name, call) => {
    await expect(Promise.resolve().then(call)).rejects.toThrow(
      /got (one of )?0; the memory of an array that was transferred/,
    );
  });
});

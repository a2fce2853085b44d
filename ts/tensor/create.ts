/** Making tensors from data. */

import { describeValue, quoteValue } from '../describe_value.ts';
import { checkOptions, type KnownOptions } from '../check_options.ts';
import type { DeviceName, MemoryFormat } from '../device/device.ts';
import { deviceByName } from '../device/registry.ts';
import { adviceForGone, float32ArrayOf } from '../typed_array.ts';
import { type DataOptions, orderOf } from './reading.ts';
import { batchLayout, checkMemoryFormat, elementCount, formatShape, type Shape, shapeOf } from './shape.ts';
import { Storage } from './storage.ts';
import { placed } from './storage_ops.ts';
import { isTensor, Tensor } from './tensor.ts';

/** Numbers, or arrays of numbers nested to any depth. */
export type NestedNumbers = number | readonly NestedNumbers[];

/** Options of {@link empty} and {@link tensor}. */
export interface TensorOptions {
  /** Name of the device; default `'cpu'`. */
  readonly device?: DeviceName;
  /** Whether `backward()` computes its gradient; default `false`. */
  readonly requiresGrad?: boolean;
  /** Order in memory, `'channels_last'` for rank ≥ 3 only; default `'contiguous'`. */
  readonly memoryFormat?: MemoryFormat;
}

/** Options of {@link tensor}. */
export interface TensorDataOptions extends TensorOptions, DataOptions {}

/** @internal */
export const tensorOptions: KnownOptions<TensorOptions> = {
  device: 'string',
  requiresGrad: 'boolean',
  memoryFormat: 'string',
};
const tensorDataOptions: KnownOptions<TensorDataOptions> = { ...tensorOptions, order: 'string' };

/**
 * Makes a tensor. Synchronous: before the device is ready, the data waits on the host.
 *
 * @param data - a `Float32Array` or (nested) numbers; copied. The array may come from another frame or context, and may lie in shared memory.
 * @param shape - sizes in logical (N, C, …) order; may be omitted for nested numbers, whose own shape it then is.
 * @param options - `order` of the values: `'logical'`, the default, whatever the memory format; or `'memory'`, as they shall lie in memory, which
 * for `'channels_last'` is (N, …, C) and saves rearranging.
 * @throws TypeError for data that are no numbers; RangeError when data and shape disagree; OutOfMemoryError
 *
 * @example
 * ```ts
 * const x = tensor([[1, 2], [3, 4]]);
 * const image = tensor(rgba, [1, 4, height, width], { memoryFormat: 'channels_last', order: 'memory' });
 * ```
 */
export function tensor(
  data: Float32Array | NestedNumbers,
  shape?: Shape,
  options: TensorDataOptions = {},
  ...extra: never[]
): Tensor {
  checkOptions('tensor()', options, tensorDataOptions, extra);
  const { device = 'cpu', requiresGrad = false, memoryFormat = 'contiguous', order = 'logical' } = options;
  orderOf('tensor()', { order });
  const array = float32ArrayOf(data);
  const sizes = shapeOf(shape ?? (array === null ? nestedShape(data) : [array.length]));
  checkRequiresGrad(requiresGrad);
  checkMemoryFormat(memoryFormat, sizes);
  if (order === 'memory' && memoryFormat === 'channels_last' && shape === undefined) {
    throw new TypeError(
      'tensor(): expected a shape in the order (N, C, …) besides data in the order of memory (N, …, C), got none; give it as the second argument',
    );
  }
  const values = array ?? flatten(data);
  if (values.length !== elementCount(sizes)) {
    throw new RangeError(
      `expected ${elementCount(sizes)} values for shape ${formatShape(sizes)}, got ${values.length}${array === null ? '' : adviceForGone(array)}`,
    );
  }
  const target = deviceByName(device);
  const isArranged = order === 'memory';
  const storage = isArranged ? Storage.from(target, values) : placed(target, values, batchLayout(sizes, memoryFormat));
  return new Tensor({ storage, shape: sizes, memoryFormat, requiresGrad });
}

/**
 * A tensor whose values are not defined yet: memory for another engine to write to, by {@link Tensor.gpuBuffer} for example, or for
 * {@link Tensor.copy_}. PyTorch's `torch.empty`. Synchronous: before the device is ready, its memory is taken with the first use.
 *
 * @param shape - sizes in logical (N, C, …) order.
 * @throws TypeError or RangeError for what is no shape, UnknownDeviceError, OutOfMemoryError
 *
 * @example
 * ```ts
 * await init(['webgpu:0']);
 * const y = empty([8, 64, 32, 32], { device: 'webgpu:0' });
 * otherEngine.writeTo(y.gpuBuffer());
 * ```
 */
export function empty(shape: Shape, options: TensorOptions = {}, ...extra: never[]): Tensor {
  checkOptions('empty()', options, tensorOptions, extra);
  const { device = 'cpu', requiresGrad = false, memoryFormat = 'contiguous' } = options;
  const sizes = shapeOf(shape);
  checkRequiresGrad(requiresGrad);
  checkMemoryFormat(memoryFormat, sizes);
  const storage = Storage.unfilled(deviceByName(device), elementCount(sizes));
  return new Tensor({ storage, shape: sizes, memoryFormat, requiresGrad });
}

/** @throws TypeError for anything but a boolean. */
export function checkRequiresGrad(requiresGrad: unknown): void {
  if (typeof requiresGrad !== 'boolean') {
    throw new TypeError(`requiresGrad: expected a boolean, got ${quoteValue(requiresGrad)}`);
  }
}

/** As many dimensions as a nested array may have. */
const MAX_DIMS = 64;

/** As many values as a nested array gets room for at first. */
const FIRST_ROOM = 1024;

/** The shape that the first elements suggest; {@link flatten} refuses arrays that do not keep to it. */
function nestedShape(data: unknown): Shape {
  const shape: number[] = [];
  for (let level = data; Array.isArray(level); level = (level as unknown[])[0]) {
    if (shape.length === MAX_DIMS) {
      throw new TypeError(
        `expected numbers nested at most ${MAX_DIMS} deep, got arrays nested deeper, or an array that contains itself`,
      );
    }
    shape.push(level.length);
  }
  return shape;
}

function flatten(data: unknown): Float32Array {
  const shape = nestedShape(data);
  const count = elementCount(shape);
  // Room grows with the values found, for a sparse array may claim any length.
  let values = new Float32Array(Math.min(count, FIRST_ROOM));
  let end = 0;
  const visit = (item: unknown, dim: number): void => {
    const size = shape[dim];
    if (size === undefined) {
      if (end === values.length) {
        const larger = new Float32Array(Math.min(count, 2 * end));
        larger.set(values);
        values = larger;
      }
      values[end++] = checkNumber(item);
    } else if (!Array.isArray(item)) {
      throw new RangeError(`expected sequence of length ${size} at dim ${dim} (got the number ${checkNumber(item)})`);
    } else if (item.length !== size) {
      throw new RangeError(`expected sequence of length ${size} at dim ${dim} (got ${item.length})`);
    } else {
      // By index, so that a hole is the `undefined` that it reads as.
      for (let i = 0; i < size; i += 1) {
        visit(item[i], dim + 1);
      }
    }
  };
  visit(data, 0);
  return values;
}

function checkNumber(item: unknown): number {
  if (typeof item !== 'number') {
    throw new TypeError(
      `expected data as a Float32Array or (nested) numbers, got ${describeValue(item)}${adviceFor(item)}`,
    );
  }
  return item;
}

function adviceFor(item: unknown): string {
  const name = Object.prototype.toString.call(item).slice(8, -1);
  if (isTensor(item)) {
    return '; await tensor.to(device) copies to another device, and await tensor.data() gives the values';
  }
  if (name === 'ArrayBuffer' || name === 'SharedArrayBuffer' || name === 'DataView') {
    return '; new Float32Array(buffer) is a view of its bytes as values';
  }
  if (typeof item === 'bigint' || name.startsWith('Big')) {
    return '; Float32Array.from(values, Number) converts BigInts';
  }
  return ArrayBuffer.isView(item)
    ? '; Float32Array.from() converts typed arrays, and several become one Float32Array with a shape: tensor(values, [2, 3])'
    : '';
}

/** Making tensors from data. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import type { MemoryFormat } from '../device/device.ts';
import { deviceByName, webGpuDevice } from '../device/registry.ts';
import { kindOf } from './kind_of.ts';
import { batchLayout, checkShape, elementCount, formatShape, type Shape } from './shape.ts';
import { Storage } from './storage.ts';
import { writeLogical } from './storage_ops.ts';
import { Tensor } from './tensor.ts';

/** Numbers, or arrays of numbers nested to any depth. */
export type NestedNumbers = number | readonly NestedNumbers[];

export interface TensorOptions {
  /** Name of the device; default `'cpu'`. */
  readonly device?: string;
  /** Whether `backward()` computes its gradient; default `false`. */
  readonly requiresGrad?: boolean;
  /** Order in memory, `'channels_last'` for rank ≥ 3 only; default `'contiguous'`. The data given is in logical order always. */
  readonly memoryFormat?: MemoryFormat;
}

const tensorOptions: KnownOptions<TensorOptions> = {
  device: 'string',
  requiresGrad: 'boolean',
  memoryFormat: 'string',
};

/**
 * Makes a tensor. Synchronous: before the device is ready, the data waits on the host.
 *
 * @param data - values in logical (N, C, …) order, as a `Float32Array` or (nested) numbers; copied.
 * @param shape - sizes; may be omitted for nested numbers, whose own shape it then is.
 * @throws TypeError for data that are no numbers; RangeError when data and shape disagree; OutOfMemoryError
 */
export function tensor(data: Float32Array | NestedNumbers, shape?: Shape, options: TensorOptions = {}): Tensor {
  checkOptions('tensor()', options, tensorOptions);
  const { device = 'cpu', requiresGrad = false, memoryFormat = 'contiguous' } = options;
  const sizes = shape ?? (data instanceof Float32Array ? [data.length] : nestedShape(data));
  checkShape(sizes);
  checkRequiresGrad(requiresGrad);
  checkMemoryFormat(memoryFormat, sizes);
  const values = data instanceof Float32Array ? data : flatten(data);
  if (values.length !== elementCount(sizes)) {
    throw new RangeError(
      `expected ${elementCount(sizes)} values for shape ${formatShape(sizes)}, got ${values.length}`,
    );
  }
  const layout = batchLayout(sizes, memoryFormat);
  const storage = Storage.from(deviceByName(device), values, (buffer, given) => writeLogical(buffer, given, layout));
  return new Tensor({ storage, shape: sizes, memoryFormat, requiresGrad });
}

/**
 * A tensor on a `GPUBuffer` that exists, without a copy, for engines that share a page: the buffer stays its owner's, who keeps it
 * until the tensor, and graphs that saved it, are gone. The library reads the buffer and never writes to it, also when the tensor is
 * donated or is a gradient; the owner may write to it between operations.
 *
 * @param buffer - f32 values in the order of `memoryFormat`; its size a multiple of 16 bytes, its usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
 * @param options - `device` is required, and the buffer's own: see {@link devices.adopt}.
 * @throws RangeError for a buffer that does not suit, or a device that is no WebGPU device; DeviceMismatchError for the buffer of
 * another device.
 */
export async function tensorFromGPUBuffer(
  buffer: GPUBuffer,
  shape: Shape,
  options: TensorOptions & { readonly device: string },
): Promise<Tensor> {
  checkOptions('tensorFromGPUBuffer()', options, tensorOptions);
  const { device: name, requiresGrad = false, memoryFormat = 'contiguous' } = options;
  checkShape(shape);
  checkRequiresGrad(requiresGrad);
  checkMemoryFormat(memoryFormat, shape);
  const device = webGpuDevice(deviceByName(name));
  await device.ready();
  const storage = Storage.adopt(await device.adoptBuffer(buffer, elementCount(shape)));
  return new Tensor({ storage, shape, memoryFormat, requiresGrad });
}

function checkRequiresGrad(requiresGrad: unknown): void {
  if (typeof requiresGrad !== 'boolean') {
    throw new TypeError(`requiresGrad: expected a boolean, got ${String(requiresGrad)}`);
  }
}

function checkMemoryFormat(format: unknown, shape: Shape): void {
  if (format !== 'contiguous' && format !== 'channels_last') {
    throw new TypeError(`memoryFormat: expected 'contiguous' or 'channels_last', got ${String(format)}`);
  }
  if (format === 'channels_last' && shape.length < 3) {
    throw new RangeError(`memoryFormat 'channels_last': expected rank 3 or more, got shape ${formatShape(shape)}`);
  }
}

/** The shape that the first elements suggest; {@link flatten} refuses arrays that do not keep to it. */
function nestedShape(data: unknown): number[] {
  const shape: number[] = [];
  for (let level = data; Array.isArray(level); level = (level as unknown[])[0]) {
    shape.push(level.length);
  }
  return shape;
}

function flatten(data: unknown): Float32Array {
  const shape = nestedShape(data);
  const values = new Float32Array(elementCount(shape));
  let end = 0;
  const visit = (item: unknown, dim: number): void => {
    const size = shape[dim];
    if (size === undefined) {
      values[end++] = checkNumber(item);
    } else if (!Array.isArray(item) || item.length !== size) {
      const given = Array.isArray(item) ? String(item.length) : kindOf(item);
      throw new RangeError(`expected sequence of length ${size} at dim ${dim} (got ${given})`);
    } else {
      item.forEach((inner) => visit(inner, dim + 1));
    }
  };
  visit(data, 0);
  return values;
}

function checkNumber(item: unknown): number {
  if (typeof item !== 'number') {
    throw new TypeError(
      `expected data as a Float32Array or (nested) numbers, got ${kindOf(item)}; Float32Array.from() converts typed arrays`,
    );
  }
  return item;
}

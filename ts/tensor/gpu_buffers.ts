/** Tensors on buffers that other engines of the page have made. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { checkCommandable } from '../device/calling_thread.ts';
import type { WebGpuDevice } from '../device/device.ts';
import { deviceByName, webGpuDevice } from '../device/registry.ts';
import { allOrNone } from './all_or_none.ts';
import { checkFunction } from './check_function.ts';
import { checkRequiresGrad, type TensorOptions, tensorOptions } from './create.ts';
import { FreeCallbacks } from './free_callbacks.ts';
import { checkMemoryFormat, elementCount, type Shape, shapeOf } from './shape.ts';
import { Storage } from './storage.ts';
import { Tensor, type TensorParts } from './tensor.ts';

/** Options of {@link tensorFromGPUBuffer}. */
export interface GpuBufferOptions extends TensorOptions {
  /** The buffer's own device, as `devices.adopt()` or `devices.get()` gives it. */
  readonly device: string;
  /**
   * Called exactly once, when the library no longer needs the buffer: the tensor, what shares its memory, and graphs that saved it are disposed or
   * were found by the garbage collector; the call fails; or the device is lost. All commands that use the buffer have been submitted then, so it may
   * be destroyed or given to others. What it throws is ignored. It must not refer to the tensor, which would else never be garbage.
   */
  readonly onRelease?: () => void;
}

/** One of the buffers that {@link tensorsFromGPUBuffers} takes. */
export interface GpuBufferSource extends Omit<GpuBufferOptions, 'device'> {
  readonly buffer: GPUBuffer;
  readonly shape: Shape;
}

const gpuBufferOptions: KnownOptions<GpuBufferOptions> = { ...tensorOptions, onRelease: 'function' };
const sourceOptions: KnownOptions<GpuBufferSource> = {
  buffer: 'object',
  shape: 'array',
  requiresGrad: 'boolean',
  memoryFormat: 'string',
  onRelease: 'function',
};
const listOptions: KnownOptions<{ readonly device: string }> = { device: 'string' };

/**
 * A tensor on a `GPUBuffer` that exists, without a copy, for engines that share a page: the buffer stays its owner's, who keeps it
 * until the tensor, and graphs that saved it, are gone: see {@link GpuBufferOptions.onRelease}. The library reads the buffer and never writes to
 * it, also when the tensor is donated or is a gradient; the owner may write to it between operations.
 *
 * @param buffer - f32 values in the order of `memoryFormat`; its size a multiple of 4 bytes, its usages `STORAGE`, `COPY_SRC` and `COPY_DST`. One
 * that ends in the middle of a vector of 16 bytes is copied by each command that reads its end.
 * @param options - `device` is required, and the buffer's own: see {@link devices.adopt}.
 * @throws RangeError for a buffer that does not suit, or a device that is no WebGPU device; DeviceMismatchError for the buffer of
 * another device.
 *
 * @example
 * ```ts
 * const { name: device } = await devices.adopt(gpuDevice);
 * const x = await tensorFromGPUBuffer(buffer, [8, 64, 32, 32], { device, onRelease: () => pool.take(buffer) });
 * ```
 */
export async function tensorFromGPUBuffer(
  buffer: GPUBuffer,
  shape: Shape,
  options: GpuBufferOptions,
  ...extra: never[]
): Promise<Tensor> {
  const where = 'tensorFromGPUBuffer()';
  const lender = new Lender(where, options);
  return lender.lend(() => {
    checkOptions(where, options, gpuBufferOptions, extra);
    return lender.adopted(buffer, shape, (options as GpuBufferOptions | undefined)?.device);
  });
}

/**
 * {@link tensorFromGPUBuffer} at once, for programs and engines that cannot wait. Whose the buffer is turns out later: where it is another
 * device's, or destroyed, whoever uses the tensor or what was computed of it is told, and what was to be kept of that, such as running statistics, is
 * taken back.
 * @throws as `tensorFromGPUBuffer()`; NotInitializedError before the device is ready.
 *
 * @example
 * ```ts
 * const x = tensorFromGPUBufferSync(buffer, [8, 64, 32, 32], { device });
 * const y = bn.forwardSync(x);
 * ```
 */
export function tensorFromGPUBufferSync(
  buffer: GPUBuffer,
  shape: Shape,
  options: GpuBufferOptions,
  ...extra: never[]
): Tensor {
  const where = 'tensorFromGPUBufferSync()';
  const lender = new Lender(where, options);
  try {
    checkOptions(where, options, gpuBufferOptions, extra);
    const { parts, device } = lender.checked(shape, (options as GpuBufferOptions | undefined)?.device);
    checkCommandable(device, where, 'await tensorFromGPUBuffer()');
    const adopted = device.adoptBufferNow(buffer, elementCount(parts.shape), lender.release);
    return new Tensor({ ...parts, storage: Storage.adopt(adopted) });
  } catch (error) {
    lender.release();
    throw error;
  }
}

/**
 * Tensors on several buffers of one device, which are checked together: one wait for all.
 * @param sources - each with its shape and options, as {@link tensorFromGPUBuffer} takes them.
 * @returns the tensors, in the same order.
 * @throws as `tensorFromGPUBuffer()`, for the first that does not suit; none is adopted then, and each `onRelease` is called.
 *
 * @example
 * ```ts
 * const [x, weight] = await tensorsFromGPUBuffers(
 *   [{ buffer: xBuffer, shape: [8, 64, 32, 32] }, { buffer: weightBuffer, shape: [64] }],
 *   { device },
 * );
 * ```
 */
export async function tensorsFromGPUBuffers(
  sources: readonly GpuBufferSource[],
  options: { readonly device: string },
  ...extra: never[]
): Promise<Tensor[]> {
  const where = 'tensorsFromGPUBuffers()';
  if (!Array.isArray(sources)) {
    throw new TypeError(`${where}: expected an array of { buffer, shape }, got ${describeValue(sources)}`);
  }
  const list: readonly unknown[] = Array.from(sources);
  const attempts = list.map((source) => {
    const lender = new Lender(where, source);
    return lender.lend(() => {
      checkOptions(where, options, listOptions, extra);
      checkOptions(where, source, sourceOptions);
      const { buffer, shape } = Object(source) as GpuBufferSource;
      return lender.adopted(buffer, shape, (options as { readonly device?: string } | undefined)?.device);
    });
  });
  if (attempts.length === 0) {
    // No attempt has looked at them.
    checkOptions(where, options, listOptions, extra);
  }
  return allOrNone(attempts, (made) => made.dispose());
}

/** The owner of a buffer, who is told once that it is no longer needed: also where anything is wrong with the other arguments. */
class Lender {
  readonly #where: string;
  readonly #options: Partial<Omit<GpuBufferOptions, 'device'>>;
  readonly #callbacks = new FreeCallbacks();

  /** @param options - as the caller gave them, of whatever kind. */
  constructor(where: string, options: unknown) {
    this.#where = where;
    this.#options = Object(options) as GpuBufferOptions;
    const { onRelease } = this.#options;
    if (typeof onRelease === 'function') {
      this.#callbacks.add(onRelease);
    }
  }

  /** Tells the owner, unless he knows. */
  readonly release = (): void => this.#callbacks.runQuietly();

  /** Tells the owner when the buffer could not be adopted. */
  async lend(adopt: () => Promise<Tensor>): Promise<Tensor> {
    try {
      return await adopt();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** The tensor on the buffer. @throws as {@link tensorFromGPUBuffer} */
  async adopted(buffer: GPUBuffer, shape: Shape, name: string | undefined): Promise<Tensor> {
    const { parts, device } = this.checked(shape, name);
    await device.ready();
    const adopted = await device.adoptBuffer(buffer, elementCount(parts.shape), this.release);
    return new Tensor({ ...parts, storage: Storage.adopt(adopted) });
  }

  /** What the tensor will be, and its device. @throws TypeError, RangeError, UnknownDeviceError */
  checked(
    shape: Shape,
    name: string | undefined,
  ): { readonly parts: Omit<TensorParts, 'storage'>; readonly device: WebGpuDevice } {
    const { requiresGrad = false, memoryFormat = 'contiguous', onRelease } = this.#options;
    if (onRelease !== undefined) {
      checkFunction(`${this.#where}, onRelease`, onRelease);
    }
    if (name === undefined) {
      throw new TypeError(`${this.#where}: expected the device of the buffer, as { device: 'webgpu:0' }, got none`);
    }
    const sizes = shapeOf(shape);
    checkRequiresGrad(requiresGrad);
    checkMemoryFormat(memoryFormat, sizes);
    return { parts: { shape: sizes, memoryFormat, requiresGrad }, device: webGpuDevice(deviceByName(name)) };
  }
}

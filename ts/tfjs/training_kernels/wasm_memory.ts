/** The memory of tfjs' wasm backend, for kernels that are loops of our own. */

import { type DataType, type KernelBackend, type TensorInfo } from '@tensorflow/tfjs-core';

/** What such a kernel needs of the backend. */
export interface WasmMemory extends KernelBackend {
  makeOutput(shape: readonly number[], dtype: DataType): TensorInfo;
  /** The values of a tensor without a copy; valid until the backend allocates. */
  typedArrayFromHeap(tensor: TensorInfo): ArrayLike<number>;
}

/**
 * The backend, as one whose memory can be read.
 * @throws TypeError for a backend that keeps its values elsewhere.
 */
export function wasmMemory(backend: unknown): WasmMemory {
  const { makeOutput, typedArrayFromHeap } = Object(backend) as Partial<WasmMemory>;
  if (typeof makeOutput !== 'function' || typeof typedArrayFromHeap !== 'function') {
    throw new TypeError(
      `training kernels: expected tfjs' wasm backend of version 4, got a backend without makeOutput() and typedArrayFromHeap(); ` +
        `install @tensorflow/tfjs-backend-wasm 4`,
    );
  }
  return backend as WasmMemory;
}

/** The f32 values of a tensor, where they lie. Valid until the backend allocates: allocate outputs first. */
export function valuesOf(backend: WasmMemory, tensor: TensorInfo): Float32Array {
  const values = backend.typedArrayFromHeap(tensor);
  if (!(values instanceof Float32Array)) {
    throw new TypeError(
      `training kernels: expected values of type float32, got ${tensor.dtype}; cast the tensor with .cast('float32')`,
    );
  }
  return values;
}

/** A new tensor of zeros, and its values. Views taken before may have become invalid. */
export function zeroOutput(backend: WasmMemory, shape: readonly number[]): TensorInfo {
  const output = backend.makeOutput(shape, 'float32');
  valuesOf(backend, output).fill(0);
  return output;
}

/** An element that exists, which the compiler cannot see. */
export function at(values: Float32Array, index: number): number {
  // eslint-disable-next-line @typescript-eslint/non-nullable-type-assertion-style -- The rule's own remedy is forbidden, and `?? NaN` takes twice the time.
  return values[index] as number;
}

/** The same of whole numbers: engines compile an access for the kind of array that it has seen. */
export function wholeAt(values: Int32Array, index: number): number {
  // eslint-disable-next-line @typescript-eslint/non-nullable-type-assertion-style -- As above.
  return values[index] as number;
}

/** Values on their way between tensors of the library, on CPU devices and workers, and tensors of tfjs. */

import * as tf from '@tensorflow/tfjs-core';
import { devices, init, tensor, type Tensor } from '../index.ts';

/** How tensors of one device reach a backend of tfjs, and come back. */
export interface HandOver {
  /** Name of the backend. */
  readonly backend: string;
  /**
   * Says that tensors of tfjs that were made of these use their memory: they must live for as long as those. `null`: tfjs has values of its own.
   */
  readonly lend: ((tensors: readonly Tensor[]) => void) | null;
  /**
   * Gets everything that has to be waited for.
   * @returns makes the tensors of tfjs, in the same order, at once; to be called in a scope, with the backend.
   */
  toTf(given: readonly Tensor[]): (() => tf.Tensor[]) | Promise<() => tf.Tensor[]>;
  /**
   * Makes tensors of the library, in the same order. To be called in a scope of tfjs, with the backend; what it still needs after that, it keeps.
   * @throws OutOfMemoryError; none is made then.
   */
  fromTf(given: readonly tf.Tensor[]): Tensor[] | Promise<Tensor[]>;
  /** Replaces the values of tensors of the library, in the same order. To be called in a scope of tfjs, with the backend. */
  copyTo(given: readonly tf.Tensor[], targets: readonly Tensor[]): Promise<void>;
}

/** The part of tfjs' wasm backend that shows its memory. */
interface WasmMemory {
  makeOutput(shape: readonly number[], dtype: 'float32'): tf.TensorInfo;
  typedArrayFromHeap(info: tf.TensorInfo): Float32Array;
}

/** By copies of the values: one each way for CPU devices and tfjs' `cpu` and `wasm` backends, which answer at once, else two. */
export function hostHandOver(device: string, backend: string): HandOver {
  const isAtOnce = device.startsWith('cpu');
  return {
    backend,
    lend: null,
    toTf(given) {
      if (!isAtOnce) {
        return readAll(given);
      }
      const make = (): tf.Tensor[] => given.map(receive);
      return devices.get(device).isReady ? make : init([device]).then(() => make);
    },
    fromTf(given) {
      const floats = given.map((item) => (item.dtype === 'float32' ? item : tf.cast(item, 'float32')));
      return isHeld(backend)
        ? sentAll(floats, device, floats.map(valuesOf))
        : readLater(floats, (values) => sentAll(floats, device, values));
    },
    async copyTo(given, targets) {
      const copy = (values: readonly Float32Array[]): Promise<unknown> =>
        Promise.all(targets.map((target, i) => target.copy_(values[i] ?? new Float32Array())));
      await (isHeld(backend) ? copy(given.map(valuesOf)) : readLater(given, copy));
    },
  };
}

/** Whether a backend has its values in host memory, so that reading them waits for nothing. */
function isHeld(backend: string): boolean {
  return backend === 'cpu' || backend === 'wasm';
}

async function readAll(given: readonly Tensor[]): Promise<() => tf.Tensor[]> {
  const values = await Promise.all(given.map((item) => item.data()));
  return () => given.map(({ shape }, i) => tf.tensor(values[i] ?? [], [...shape], 'float32'));
}

/** On a CPU device that is ready. */
export function receive(given: Tensor): tf.Tensor {
  const memory = wasmMemory();
  const shape = [...given.shape];
  if (memory === null) {
    return tf.tensor(given.dataSync(), shape, 'float32');
  }
  const info = memory.makeOutput(shape, 'float32');
  const made = tf.engine().makeTensorFromTensorInfo(info);
  given.dataSync(memory.typedArrayFromHeap(info));
  return made;
}

/** The values of a tensor, without a copy where they are in memory of the host. */
export function valuesOf(given: tf.Tensor): Float32Array {
  // The backend's `readSync` would copy what `tensor()` copies anyway.
  return wasmMemory()?.typedArrayFromHeap(given) ?? asFloats(given.dataSync());
}

/** Of a tensor that was converted to f32 the `cpu` backend may still give the integers. */
function asFloats(values: tf.TypedArray): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values);
}

function wasmMemory(): WasmMemory | null {
  const backend = tf.backend() as Partial<WasmMemory>;
  return backend.makeOutput !== undefined && backend.typedArrayFromHeap !== undefined ? (backend as WasmMemory) : null;
}

/** Waits for the values. */
async function readLater<T>(
  given: readonly tf.Tensor[],
  use: (values: readonly Float32Array[]) => T,
): Promise<Awaited<T>> {
  // The scope of the caller is over when the values are there.
  const kept = given.map((item) => tf.keep(tf.clone(item)));
  try {
    const values = await Promise.all(kept.map((item) => item.data()));
    return await use(values.map(asFloats));
  } finally {
    tf.dispose(kept);
  }
}

/** All tensors, or none. */
function sentAll(given: readonly tf.Tensor[], device: string, values: readonly Float32Array[]): Tensor[] {
  const made: Tensor[] = [];
  try {
    given.forEach(({ shape }, i) => made.push(tensor(values[i] ?? new Float32Array(), shape, { device })));
    return made;
  } catch (error) {
    made.forEach((item) => item.dispose());
    throw error;
  }
}

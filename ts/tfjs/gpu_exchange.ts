/** Without a copy, with tfjs' WebGPU backend: both work on the buffers of one `GPUDevice`. */

import * as tf from '@tensorflow/tfjs-core';
import { devices, type Tensor, tensorFromGPUBufferSync } from '../index.ts';
import type { Exchange } from './exchange.ts';
import type { Seen } from './seen.ts';

/** What is used of tfjs' WebGPU backend. */
export interface GpuBackend extends tf.KernelBackend {
  readonly device: GPUDevice;
  readonly commandEncoder: GPUCommandEncoder | null;
  readonly tensorMap: { get(dataId: object): { readonly resource?: GPUBuffer | null } | undefined };
  /** Gives values that are on the host alone a buffer. */
  uploadToGPU(dataId: object): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  /** Called when no command that has not been submitted uses the data any more. */
  releaseResource(dataId: object): void;
}

/** Whether a backend is tfjs' WebGPU backend. */
export function isGpuBackend(backend: tf.KernelBackend | null): backend is GpuBackend {
  const parts = Object(backend) as Readonly<Record<string, unknown>>;
  const methods = ['uploadToGPU', 'endComputePassEncoder', 'submitQueue', 'releaseResource'];
  const objects = ['device', 'tensorMap'];
  return (
    methods.every((name) => typeof parts[name] === 'function') &&
    objects.every((name) => typeof parts[name] === 'object')
  );
}

const exchanges = new WeakMap<GpuBackend, Exchange>();

/** The exchange of a backend that {@link adoptBackend} knows. @throws Error for others. */
export function gpuExchange(backend: GpuBackend): Exchange {
  const exchange = exchanges.get(backend);
  if (exchange === undefined) {
    throw new Error(
      `useSyncbnLayers(): expected a WebGPU backend that was there when it was called, got one that came later; ` +
        `await useSyncbnLayers(tf) again after tf.setBackend()`,
    );
  }
  return exchange;
}

/** Lets the library work on a backend's `GPUDevice`. Idempotent. */
export async function adoptBackend(backend: GpuBackend): Promise<void> {
  if (exchanges.has(backend)) {
    return;
  }
  const device = deviceOn(backend.device) ?? (await devices.adopt(backend.device)).name;
  exchanges.set(backend, new BufferExchange(backend, device));
}

/** Name of the device of the library on a `GPUDevice`, if there is one. */
function deviceOn(gpuDevice: GPUDevice): string | null {
  const names = devices.list().filter((name): name is `webgpu:${number}` => name.startsWith('webgpu'));
  const isOn = (name: `webgpu:${number}`): boolean => {
    const device = devices.get(name);
    return device.isReady && device.lost === null && device.gpuDevice === gpuDevice;
  };
  return names.find(isOn) ?? null;
}

class BufferExchange implements Exchange {
  readonly #backend: GpuBackend;
  readonly #device: string;
  /** The library's tensors whose memory tensors of tfjs have, by their data. */
  readonly #lent = new WeakMap<object, Tensor>();

  constructor(backend: GpuBackend, device: string) {
    this.#backend = backend;
    this.#device = device;
    const release = backend.releaseResource.bind(backend);
    backend.releaseResource = (dataId) => {
      release(dataId);
      this.#lent.get(dataId)?.dispose();
      this.#lent.delete(dataId);
    };
    // tfjs reads a buffer to its end, and buffers of the library may be longer than their tensors.
    const [read, readSync] = [backend.read.bind(backend), backend.readSync.bind(backend)];
    const lent = this.#lent;
    backend.read = async (dataId) => {
      const memory = lent.get(dataId);
      return trimmed(await read(dataId), memory);
    };
    backend.readSync = (dataId) => trimmed(readSync(dataId), lent.get(dataId));
  }

  receive(given: tf.Tensor, { shape, memoryFormat }: Seen, requiresGrad: boolean): Tensor {
    const backend = this.#backend;
    backend.uploadToGPU(given.dataId);
    this.#submit();
    const buffer = backend.tensorMap.get(given.dataId)?.resource;
    if (!buffer) {
      throw new Error(
        `useSyncbnLayers(): expected the values of a tensor in a buffer of the GPU, got ${typeof buffer}`,
      );
    }
    // tfjs may give the buffer to others once it has no tensor of the data.
    const held = tf.keep(tf.clone(given));
    const onRelease = (): void => held.dispose();
    return tensorFromGPUBufferSync(buffer, shape, { device: this.#device, memoryFormat, requiresGrad, onRelease });
  }

  give(made: Tensor, shape: readonly number[]): tf.Tensor {
    const memory = made.detach().keep();
    const given = tf.tensor({ buffer: memory.gpuBuffer(), zeroCopy: true }, [...shape], 'float32');
    this.#lent.set(given.dataId, memory);
    return given;
  }

  /** What tfjs has recorded so far comes before what the library submits from now on. */
  #submit(): void {
    if (this.#backend.commandEncoder !== null) {
      this.#backend.endComputePassEncoder();
      this.#backend.submitQueue();
    }
  }
}

function trimmed(values: tf.backend_util.BackendValues, memory: Tensor | undefined): tf.backend_util.BackendValues {
  const count = memory?.shape.reduce((product, size) => product * size, 1);
  return values instanceof Float32Array ? values.subarray(0, count) : values;
}

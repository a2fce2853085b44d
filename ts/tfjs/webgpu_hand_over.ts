/** Tensors on a GPU on their way to tfjs and back: both engines use the same buffers, nothing is copied. */

import * as tf from '@tensorflow/tfjs-core';
import { devices, init, type Tensor, tensorFromGPUBufferSync } from '../index.ts';
import type { HandOver } from './hand_over.ts';
import { present } from './present.ts';

/** What this entry uses of tfjs' WebGPU backend. */
interface WebGpuBackend extends tf.KernelBackend {
  readonly tensorMap: { get(dataId: object): { readonly resource?: GPUBuffer } };
  createTensorFromGPUData(data: { buffer: GPUBuffer; zeroCopy: true }, shape: number[], dtype: 'float32'): tf.Tensor;
  uploadToGPU(dataId: object): void;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

type WebGpuBackendClass = new (device: GPUDevice, adapterInfo?: unknown) => WebGpuBackend;

/** The backends that were made, with the `GPUDevice` that each computes on. */
const made = new Map<string, GPUDevice>();

let backendClass: Promise<WebGpuBackendClass> | null = null;

/**
 * A backend of tfjs on the `GPUDevice` of a device, made when there is none yet.
 * @returns its name.
 * @throws Error where tfjs' WebGPU backend has not been imported.
 */
export async function webGpuBackendFor(device: string): Promise<string> {
  await init([device]);
  // Names of backends have no colon, and no underscore.
  const name = `syncbn-${device.replace(':', '-')}`;
  if (made.get(name) === gpuDeviceOf(device)) {
    return name;
  }
  const Backend = await (backendClass ??= findClass());
  const gpuDevice = gpuDeviceOf(device);
  if (made.get(name) !== gpuDevice) {
    if (made.has(name)) {
      // The device was lost and made anew. Its tensors are gone with it.
      tf.removeBackend(name);
    } else {
      tf.copyRegisteredKernels('webgpu', name);
    }
    made.set(name, gpuDevice);
    const { adapterInfo } = gpuDevice as { readonly adapterInfo?: unknown };
    // Never chosen by tfjs itself.
    tf.registerBackend(name, () => new Backend(gpuDevice, adapterInfo), -1);
    tf.findBackend(name);
  }
  return name;
}

/** The class of tfjs' backend, of which this entry cannot import the package: a page that has no GPU does without it. */
async function findClass(): Promise<WebGpuBackendClass> {
  const { registry } = tf.engine();
  const factory = tf.findBackendFactory('webgpu') as (() => tf.KernelBackend | Promise<tf.KernelBackend>) | null;
  if (factory === null) {
    backendClass = null;
    throw new Error(
      "TensorFlow.js has no WebGPU backend to compute with on a 'webgpu' device: import '@tensorflow/tfjs-backend-webgpu' first",
    );
  }
  const existing = registry['webgpu'];
  const backend = existing ?? (await factory());
  const found = backend.constructor as WebGpuBackendClass;
  if (existing === undefined) {
    backend.dispose();
  }
  return found;
}

/** To ask for it submits what the library has given the GPU so far, so that what tfjs submits comes later. */
function gpuDeviceOf(device: string): GPUDevice {
  return devices.get(device as 'webgpu').gpuDevice;
}

/** @param backend - as {@link webGpuBackendFor} has named it. */
export function webGpuHandOver(device: string, backend: string): HandOver {
  // The library's own, by their buffers: what tfjs gives back unchanged, a reshape for example, is one of these again.
  const lent = new Map<GPUBuffer, Tensor>();
  const fromTf = (given: readonly tf.Tensor[]): Tensor[] => {
    const adopted: Tensor[] = [];
    try {
      given.forEach((item) => adopted.push(ownOr(lent, item, backend) ?? adopt(item, device, backend)));
      return adopted;
    } catch (error) {
      adopted.forEach((item) => item.dispose());
      throw error;
    } finally {
      submit(backendOf(backend));
    }
  };
  return {
    backend,
    lend: (tensors) => tensors.forEach((item) => lent.set(item.gpuBuffer(), item)),
    toTf: (given) => () => {
      const made = given.map((item) => {
        const buffer = item.gpuBuffer();
        lent.set(buffer, item);
        return backendOf(backend).createTensorFromGPUData({ buffer, zeroCopy: true }, [...item.shape], 'float32');
      });
      // Whatever the library has given the GPU is submitted before tfjs submits what uses it.
      gpuDeviceOf(device);
      return made;
    },
    fromTf,
    async copyTo(given, targets) {
      const values = fromTf(given);
      try {
        await Promise.all(targets.map((target, i) => target.copy_(present(values[i], 'a value'))));
      } finally {
        values.forEach((value) => value.dispose());
      }
    },
  };
}

/** What tfjs has recorded comes before what the library submits from now on. */
function submit(backend: WebGpuBackend): void {
  // Where there is nothing recorded there is no encoder to submit.
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
}

function backendOf(name: string): WebGpuBackend {
  return tf.findBackend(name) as WebGpuBackend;
}

/** The library's own memory under the shape of a tensor of tfjs, which computed nothing to make it. */
function ownOr(lent: ReadonlyMap<GPUBuffer, Tensor>, { dataId, shape, dtype }: tf.Tensor, name: string): Tensor | null {
  const { resource } = backendOf(name).tensorMap.get(dataId);
  const own = dtype === 'float32' && resource !== undefined ? lent.get(resource) : undefined;
  return own?.view(shape) ?? null;
}

/** A tensor on the buffer of a tensor of tfjs, which lives as long as it. */
function adopt(given: tf.Tensor, device: string, name: string): Tensor {
  const backend = backendOf(name);
  // A handle of its own, outside every scope.
  const owner = tf.keep(given.dtype === 'float32' ? tf.clone(given) : tf.cast(given, 'float32'));
  // What tfjs has computed on the host is not on the GPU yet.
  backend.uploadToGPU(owner.dataId);
  const buffer = present(backend.tensorMap.get(owner.dataId).resource, 'a buffer of tfjs');
  return tensorFromGPUBufferSync(buffer, owner.shape, { device, onRelease: () => owner.dispose() });
}

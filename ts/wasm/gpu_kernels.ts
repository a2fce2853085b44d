/**
 * The only place that imports the generated bindings of the GPU kernels. One instance serves all devices: their memory is the
 * GPU's. Loaded when the first WebGPU device is made ready.
 */

import { createGlue, type bindings } from './generated/gpu_glue.js';
import { gpuModule } from './modules.ts';

/** A device by name of its kernels; see `crates/wasm-gpu`. */
export type GpuKernels = bindings.GpuKernels;

/** Makes buffers that exist known to the kernels. */
export type BufferAdopter = bindings.BufferAdopter;

/** The ways to a device, and what serves all of them. */
export interface GpuBindings extends Pick<typeof bindings.GpuKernels, 'request' | 'adopt' | 'checkPartials'> {
  /** Made once. */
  bufferAdopter(): Promise<BufferAdopter>;
}

/** What a kernel throws: an `Error` whose `kind` tells the cause (`crates/wasm-gpu/src/error.rs`). */
export interface GpuFailure extends Error {
  readonly kind:
    | 'no_adapter'
    | 'no_device'
    | 'limit'
    | 'lost'
    | 'validation'
    | 'adapter_out_of_memory'
    | 'out_of_memory'
    | 'unknown_buffer'
    | 'partial'
    | 'argument';
  readonly wanted?: number;
  readonly granted?: number;
  readonly bytesWanted?: number;
  readonly bytesInUse?: number;
}

let loading: Promise<GpuBindings> | null = null;

/** Compiles the module; idempotent. A failure is not remembered. */
export function loadGpuKernels(): Promise<GpuBindings> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

export function isGpuFailure(error: unknown): error is GpuFailure {
  return error instanceof Error && 'kind' in error;
}

async function load(): Promise<GpuBindings> {
  const glue = createGlue();
  glue.initSync({ module: await gpuModule() });
  const { GpuKernels: kernels } = glue;
  let making: Promise<BufferAdopter> | null = null;
  return {
    request: (...args) => kernels.request(...args),
    adopt: (device) => kernels.adopt(device),
    checkPartials: (bytes) => kernels.checkPartials(bytes),
    bufferAdopter: () =>
      (making ??= glue.BufferAdopter.create().catch((error: unknown) => {
        making = null;
        throw error;
      })),
  };
}

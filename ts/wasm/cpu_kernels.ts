/**
 * The only place that imports the generated bindings of the CPU kernels: compiles the module once, instantiates it for each
 * device, and turns what the kernels throw into the library's errors.
 */

import { NotInitializedError, OutOfMemoryError, PartialError } from '../errors.ts';
import { createGlue, type bindings } from './generated/cpu_glue.js';
import { wasmLzmaBase64 } from './generated/cpu_module.js';
import { decompressLzma } from './lzma.ts';

/** The kernels by name; see `crates/wasm-cpu`. */
export type CpuKernels = bindings.CpuKernels;

/** An instance of the kernels with a memory of its own. */
export interface CpuInstance {
  readonly kernels: CpuKernels;
  readonly memory: WebAssembly.Memory;
}

let compiling: Promise<void> | null = null;
let compiled: WebAssembly.Module | null = null;

/** Compiles the module; idempotent. A failure is not remembered, so that the next call tries again. */
export function compileCpuKernels(): Promise<void> {
  compiling ??= WebAssembly.compile(decompressLzma(decodeBase64(wasmLzmaBase64))).then(
    (module) => {
      compiled = module;
    },
    (error: unknown) => {
      compiling = null;
      throw error;
    },
  );
  return compiling;
}

/**
 * A new instance.
 * @throws NotInitializedError before {@link compileCpuKernels} has resolved.
 */
export function instantiateCpuKernels(): CpuInstance {
  if (compiled === null) {
    throw new NotInitializedError();
  }
  const glue = createGlue();
  const { memory } = glue.initSync({ module: compiled });
  return { kernels: new glue.CpuKernels(), memory };
}

/** What a kernel throws: an `Error` whose `kind` tells the cause (`crates/wasm-cpu/src/error.rs`). */
interface KernelFailure {
  readonly kind: 'out_of_memory' | 'unknown_buffer' | 'partial' | 'argument';
  readonly bytesWanted?: number;
  readonly bytesInUse?: number;
}

/** The library's error for what a kernel on `device` threw; anything unknown is returned as it is. */
export function translateKernelError(error: unknown, device: string): unknown {
  if (!(error instanceof Error) || !('kind' in error)) {
    return error;
  }
  const failure = error as Error & KernelFailure;
  switch (failure.kind) {
    case 'out_of_memory':
      return new OutOfMemoryError(device, failure.bytesWanted ?? 0, failure.bytesInUse ?? 0, { cause: error });
    case 'partial':
      return new PartialError(error.message, { cause: error });
    case 'unknown_buffer':
      return new RangeError(`device ${device}: ${error.message}; it was released, or is input and output at once`, {
        cause: error,
      });
    case 'argument':
      return new RangeError(`device ${device}: ${error.message}`, { cause: error });
    default:
      failure.kind satisfies never;
      return error;
  }
}

/** `atob` exists on every platform, unlike `Buffer` and `Uint8Array.fromBase64`. */
function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i += 1) {
    bytes[i] = binary.charCodeAt(i);
  }
  return bytes;
}

/**
 * The only place that imports the generated bindings of the CPU kernels: instantiates them for each device, and turns what
 * they throw into the library's errors. The module comes from outside (`modules.ts`), since a worker is sent a compiled one.
 */

import { OutOfMemoryError, PartialError } from '../errors.ts';
import { nodeModule } from '../platform_modules.ts';
import { CallMemory } from './call_memory.ts';
import { createGlue, type bindings } from './generated/cpu_glue.js';

/** The kernels by name; see `crates/wasm-cpu`. */
export type CpuKernels = bindings.CpuKernels;

/** An instance of the kernels with a memory of its own. */
export interface CpuInstance {
  readonly kernels: CpuKernels;
  readonly memory: WebAssembly.Memory;
  readonly calls: CallMemory;
}

/** No buffer has this handle: releasing it fails and changes nothing. */
const NO_BUFFER = 0;

/** A new instance of the compiled module. */
export function instantiateCpuKernels(module: WebAssembly.Module): CpuInstance {
  const glue = withTextDecoder(createGlue);
  const { memory } = glue.initSync({ module });
  const kernels = new glue.CpuKernels();
  return { kernels, memory, calls: new CallMemory(kernels, memory) };
}

/** The glue asks for a `TextDecoder` by its global name when it is made. Jest's jsdom has none of its own, but that of Node. */
function withTextDecoder<T>(make: () => T): T {
  const util = nodeModule('node:util') as { readonly TextDecoder: typeof TextDecoder } | null;
  if ('TextDecoder' in globalThis || util === null) {
    return make();
  }
  const page = globalThis as { TextDecoder?: typeof TextDecoder };
  page.TextDecoder = util.TextDecoder;
  try {
    return make();
  } finally {
    delete page.TextDecoder;
  }
}

/**
 * Whether an error has stopped a kernel midway. Its instance is of no use then: it still counts as being called, so that every
 * later call fails with "recursive use of an object", and its memory may be half written.
 */
export function isTrap(error: unknown, { kernels }: CpuInstance): boolean {
  if (error instanceof WebAssembly.RuntimeError) {
    return true;
  }
  if (error instanceof Error && 'kind' in error) {
    return false;
  }
  // A stack that overflows stops a kernel, or the call before the kernel begins. An instance that is being called refuses this call.
  try {
    kernels.release(NO_BUFFER);
    return false;
  } catch (refusal) {
    return !(refusal instanceof Error && 'kind' in refusal);
  }
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

/** The WebAssembly module of the CPU kernels that travels inside the library. */

import { wasmDeflatedBase64 } from './generated/cpu_module.js';
import { compiledOnce } from './modules.ts';

/** Compiles the module; idempotent. */
export const compileCpuModule = compiledOnce(() => Promise.resolve(wasmDeflatedBase64));

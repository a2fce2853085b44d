/** The WebAssembly module of the CPU kernels, compiled once for all devices; workers get it posted. */

import { compileModule } from './compile_module.ts';
import { wasmDeflatedBase64 } from './generated/cpu_module.js';

let compiling: Promise<WebAssembly.Module> | null = null;

/** Compiles the module; idempotent. A failure is not remembered, so that the next call tries again. */
export function compileCpuModule(): Promise<WebAssembly.Module> {
  compiling ??= compileModule(wasmDeflatedBase64).catch((error: unknown) => {
    compiling = null;
    throw error;
  });
  return compiling;
}

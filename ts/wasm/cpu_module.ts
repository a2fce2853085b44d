/** The WebAssembly module of the CPU kernels, compiled once for all devices; workers get it posted. */

import { wasmLzmaBase64 } from './generated/cpu_module.js';
import { decompressLzma } from './lzma.ts';

let compiling: Promise<WebAssembly.Module> | null = null;

/** Compiles the module; idempotent. A failure is not remembered, so that the next call tries again. */
export function compileCpuModule(): Promise<WebAssembly.Module> {
  compiling ??= WebAssembly.compile(decompressLzma(decodeBase64(wasmLzmaBase64))).catch((error: unknown) => {
    compiling = null;
    throw error;
  });
  return compiling;
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

/** WebAssembly modules as they travel inside JavaScript: compressed by LZMA, in base64. See `scripts/build_wasm.mjs`. */

import { decompressLzma } from './lzma.ts';

/** @param text - the compressed module in base64. */
export function compileModule(text: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(decompressLzma(decodeBase64(text)));
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

/** WebAssembly modules as they travel inside JavaScript: deflated, in base64. See `scripts/build_wasm.mjs`. */

/** @param text - the deflated module in base64. */
export async function compileModule(text: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await inflate(decodeBase64(text)));
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

function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(inflated).arrayBuffer();
}

/** WebAssembly modules as they travel inside JavaScript: deflated, in base64. See `scripts/build_wasm.mjs`. */

import { NoWebAssemblyError } from '../errors.ts';
import { nodeModule } from '../platform_modules.ts';

/**
 * @param text - the deflated module in base64.
 * @throws NoWebAssemblyError where the platform, or the page's content security policy, allows none.
 */
export async function compileModule(text: string): Promise<WebAssembly.Module> {
  checkPlatform();
  return compileBytes(await inflate(decodeBase64(text)));
}

/**
 * Compiles a module.
 * @throws NoWebAssemblyError where the platform, or the page's content security policy, allows none.
 */
export async function compileBytes(bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Promise<WebAssembly.Module> {
  checkPlatform();
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw isRefused(cause) ? new NoWebAssemblyError({ cause }) : cause;
  }
}

function checkPlatform(): void {
  if (!('WebAssembly' in globalThis)) {
    throw new NoWebAssemblyError();
  }
}

/** Texts of V8, SpiderMonkey and JavaScriptCore for what a content security policy, or the platform, forbids. */
function isRefused(cause: unknown): boolean {
  return cause instanceof Error && /content security policy|\bCSP\b|unsafe-eval|by embedder/i.test(cause.message);
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

/** Node's own function is the faster one there, and test runners that make a page up leave it, but not all of the web's streams. */
function inflate(bytes: Uint8Array<ArrayBuffer>): ArrayBufferView<ArrayBuffer> | Promise<ArrayBuffer> {
  const zlib = nodeModule('node:zlib') as { inflateSync(deflated: Uint8Array): Uint8Array<ArrayBuffer> } | null;
  if (zlib !== null) {
    return zlib.inflateSync(bytes);
  }
  // Not of a `Blob`: jsdom's has no stream.
  const inflated = new Response(bytes).body?.pipeThrough(new DecompressionStream('deflate'));
  return new Response(inflated).arrayBuffer();
}

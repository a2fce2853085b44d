/** WebGPU in Node, by the package `webgpu` (Dawn): what the library does for itself, the other frameworks need done for them. */

import { create, globals } from 'webgpu';

/** Makes `navigator.gpu` and the classes of WebGPU. Where they exist, nothing happens. */
export function provideWebGpu(): void {
  // Bindings tell a page from a worker by its `Window`.
  const missing = Object.entries({ ...(globals as object), Window: Object }).filter(([key]) => !(key in globalThis));
  Object.assign(globalThis, Object.fromEntries(missing));
  const platform = globalThis as { navigator?: object };
  // Node 20 has no navigator. jax-js looks for Firefox in its `userAgent`, which Node 21 and newer have.
  if (platform.navigator === undefined) {
    const value = { userAgent: `Node.js/${process.versions.node}` };
    Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
  }
  const navigator = platform.navigator ?? {};
  if (!('gpu' in navigator)) Object.defineProperty(navigator, 'gpu', { value: create([]), configurable: true });
}

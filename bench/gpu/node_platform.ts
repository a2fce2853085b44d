/** WebGPU in Node: what the library does for itself, the other frameworks need done for them. */

// Not reached through the library's face, whose first use of a GPU does the same.
import { providePlatform } from '../../ts/device/webgpu_platform.ts';

/** Makes `navigator.gpu` and the classes of WebGPU. Where they exist, nothing happens. */
export async function provideWebGpu(): Promise<void> {
  const platform = globalThis as { navigator?: object };
  // Node 20 has no navigator. jax-js looks for Firefox in its `userAgent`, which Node 21 and newer have.
  platform.navigator ??= { userAgent: `Node.js/${process.versions.node}` };
  await providePlatform();
}

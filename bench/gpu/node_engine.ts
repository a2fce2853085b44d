/** The side of an engine of WebGPU in a Node process. */

// Not reached through the library's face, whose first use of a GPU does the same.
import { providePlatform } from '../../ts/device/webgpu_platform.ts';
import type { Engine } from '../engine.ts';
import { type AdapterDescription, describeAdapter, openGpuEngine } from './gpu_engine.ts';

/** @param name - with its platform: `node/syncbn`. */
export async function openNodeGpuEngine(name: string): Promise<Engine> {
  await provideWebGpu();
  return openGpuEngine(name.slice(name.indexOf('/') + 1));
}

export async function describeNodeAdapter(): Promise<AdapterDescription | null> {
  await provideWebGpu();
  return describeAdapter(navigator.gpu);
}

/** Makes `navigator.gpu` and the classes of WebGPU: the library does so for itself, other frameworks need it done. */
async function provideWebGpu(): Promise<void> {
  const platform = globalThis as { navigator?: object };
  // Node 20 has no navigator. jax-js looks for Firefox in its `userAgent`, which Node 21 and newer have.
  platform.navigator ??= { userAgent: `Node.js/${process.versions.node}` };
  await providePlatform();
}

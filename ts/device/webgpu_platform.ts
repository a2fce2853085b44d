/** Where `navigator.gpu` comes from: the platform, or in Node the package `webgpu`, which is Dawn. */

import { importFromPlatform, isNode } from '../platform_modules.ts';

/** What the package `webgpu` exports. */
interface Dawn {
  readonly globals: Readonly<Record<string, unknown>>;
  readonly create: (options: readonly string[]) => GPU;
}

/** Where the platform may have WebGPU. */
interface Platform {
  navigator?: { readonly gpu?: GPU };
}

let looking: Promise<void> | null = null;

/**
 * Sees to it that there is a `navigator.gpu`. In Node it is made, with WebGPU's classes and constants as globals, as in a page.
 * @throws Error when there is none, or what importing the package throws.
 */
export function providePlatform(): Promise<void> {
  looking ??= provide().catch((error: unknown) => {
    looking = null;
    throw error;
  });
  return looking;
}

async function provide(): Promise<void> {
  const platform = globalThis as Platform;
  if (platform.navigator?.gpu !== undefined) {
    return;
  }
  if (!isNode()) {
    throw new Error('navigator.gpu is undefined');
  }
  const { create, globals } = (await importFromPlatform('webgpu')) as Dawn;
  // The bindings tell a page from a worker by its `Window`.
  const missing = Object.entries({ ...globals, Window: Object }).filter(([key]) => !(key in globalThis));
  Object.assign(globalThis, Object.fromEntries(missing));
  platform.navigator ??= {};
  Object.defineProperty(platform.navigator, 'gpu', { value: create([]), configurable: true });
}

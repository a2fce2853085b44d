/** Where `navigator.gpu` comes from: the platform, or in Node the package `webgpu`, which is Dawn. */

/** What the package `webgpu` exports. */
interface Dawn {
  readonly globals: Readonly<Record<string, unknown>>;
  readonly create: (options: readonly string[]) => GPU;
}

/** Where the platform may have WebGPU. */
interface Platform {
  navigator?: { readonly gpu?: GPU };
  readonly process?: { readonly versions?: { readonly node?: string } };
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

/** Whether the platform is Node, or looks like it. */
export function isNode(): boolean {
  return (globalThis as Platform).process?.versions?.node !== undefined;
}

async function provide(): Promise<void> {
  const platform = globalThis as Platform;
  if (platform.navigator?.gpu !== undefined) {
    return;
  }
  if (!isNode()) {
    throw new Error('navigator.gpu is undefined');
  }
  // A variable, so that no bundler looks for the package, which is optional.
  const name = 'webgpu';
  const { create, globals } = (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as Dawn;
  // The bindings tell a page from a worker by its `Window`.
  const missing = Object.entries({ ...globals, Window: Object }).filter(([key]) => !(key in globalThis));
  Object.assign(globalThis, Object.fromEntries(missing));
  platform.navigator ??= {};
  Object.defineProperty(platform.navigator, 'gpu', { value: create([]), configurable: true });
}

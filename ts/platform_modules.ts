/** Modules that some platforms have and no bundler should look for. */

/** Node, as far as it is used here. */
interface Node {
  readonly process?: {
    readonly versions?: { readonly node?: string };
    getBuiltinModule?(name: string): unknown;
  };
}

/** Whether the platform is Node, or looks like it, as Deno and Bun do. */
export function isNode(): boolean {
  return (globalThis as Node).process?.versions?.node !== undefined;
}

/** A module of Node's own, where it can be had without waiting: from 20.16 and 22.3 on, also inside a `vm` context such as Jest's. */
export function nodeModule(name: `node:${string}`): unknown {
  return (globalThis as Node).process?.getBuiltinModule?.(name) ?? null;
}

/**
 * Imports what a bundler must not look for: it is there on some platforms only. The name is an argument of a function that is called with
 * several, so that no optimizer writes it into the `import()`.
 * @throws what the platform throws where there is none.
 */
export async function importFromPlatform(name: string): Promise<unknown> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ name);
}

/** How many threads run at once. */

/** What there is to be seen of the platform. Node 20 has no `navigator`. */
interface Platform {
  readonly navigator?: { readonly hardwareConcurrency?: number };
  readonly process?: { getBuiltinModule?(name: 'os'): { availableParallelism(): number } };
}

/** Cores that the platform tells of; 1 where it tells of none. */
export function coreCount(): number {
  const { navigator, process } = globalThis as Platform;
  return navigator?.hardwareConcurrency ?? process?.getBuiltinModule?.('os').availableParallelism() ?? 1;
}

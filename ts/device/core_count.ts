/** How many threads run at once. */

import { nodeModule } from '../platform_modules.ts';

/** Cores that the platform tells of; 1 where it tells of none. */
export function coreCount(): number {
  // Node 20 has no `navigator`.
  const { navigator } = globalThis as { readonly navigator?: { readonly hardwareConcurrency?: number } };
  const os = nodeModule('node:os') as { availableParallelism(): number } | null;
  return navigator?.hardwareConcurrency ?? os?.availableParallelism() ?? 1;
}

/** Workers that run a file of tests, on each platform in its way. */

import type { SpawnedWorker } from 'syncbn/distributed';
import type * as inNode from './bundled_worker.ts';

/** Makes workers of `tests/distributed/rank_tasks.ts`. */
export async function rankWorkers(): Promise<() => SpawnedWorker> {
  const { process } = globalThis as { readonly process?: { readonly versions?: { readonly node?: string } } };
  if (process?.versions?.node === undefined) {
    return () =>
      new Worker(new URL('../distributed/rank_tasks.ts', import.meta.url), {
        type: 'module',
      }) as unknown as SpawnedWorker;
  }
  // A variable, so that Vite does not look for what only Node has.
  const file = './bundled_worker.ts';
  const { bundledWorkers } = (await import(/* @vite-ignore */ file)) as typeof inNode;
  return bundledWorkers('tests/distributed/rank_tasks.ts');
}

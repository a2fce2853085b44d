/** Starts ranks in Web Workers, as a page without a bundler does. */

import type * as Distributed from 'syncbn/distributed';
import type { RankOutcome } from './rank.ts';

export interface Spawned {
  readonly isIsolated: boolean;
  readonly ranks: readonly RankOutcome[];
}

export async function spawnRanks(nprocs: number): Promise<Spawned> {
  const at = (path: string): string => new URL(path, location.href).href;
  const { spawn } = (await import(at('/dist/distributed.js'))) as typeof Distributed;
  const ranks = await spawn<RankOutcome>(at('/rank.ts'), { nprocs, args: at('/dist/index.js'), timeout: 30 });
  return { isIsolated: crossOriginIsolated, ranks };
}

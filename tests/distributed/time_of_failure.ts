/** How long it takes until all ranks over NATS are told of a failure, with real processes. */

import type { RankLine, Starter } from './rank_process.ts';

const RANKS = 3;
const FAILED = 1;
const STEP = 20;

/** What fails: a process is killed, its program throws, or it takes part in another collective. */
export type Failing = 'kill' | 'throw' | 'length';

/** @returns the time from the failure to the last of the other ranks' errors, in milliseconds. */
export async function timeOfFailure(start: Starter, servers: string, what: Failing): Promise<number> {
  const trouble = what === 'kill' ? {} : { trouble: { rank: FAILED, step: STEP, what } };
  await using ranks = start({ servers, kind: 'train', steps: 100_000, ...trouble }, RANKS);
  let failed = NaN;
  if (what === 'kill') {
    await ranks.hasDone(STEP);
    failed = Date.now();
    await ranks.all[FAILED]?.kill();
  }
  const lines = await ranks.ends();
  const at = (line: RankLine | undefined): number => line?.at ?? NaN;
  // Where ranks do different things, whoever finds it out first has failed.
  if (what === 'throw') failed = at(lines[FAILED]);
  if (what === 'length') failed = Math.min(...lines.map(at));
  const others = lines.filter((_, rank) => rank !== FAILED);
  return Math.max(...others.map(at)) - failed;
}

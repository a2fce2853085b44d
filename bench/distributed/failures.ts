/**
 * How long it takes until all ranks over NATS are told of a failure: `node scripts/run_ts.mjs bench/distributed/failures.ts [TIMES]`. Each time three
 * processes are started, and one of them is killed, throws or does something else in the middle of its training.
 */

import { rankStarter, type RankLine } from '../../tests/distributed/rank_process.ts';
import { startNatsServer } from '../../tests/support/nats_server.ts';

const RANKS = 3;
const FAILED = 1;

const times = Number(process.argv[2] ?? 10);
const start = await rankStarter();
await using server = await startNatsServer();

/** @returns the time from the failure to the last of the other ranks' errors, in milliseconds. */
async function once(what: 'kill' | 'throw' | 'length'): Promise<number> {
  const trouble = what === 'kill' ? {} : { trouble: { rank: FAILED, step: 20, what } };
  const servers = `nats://127.0.0.1:${server.port}`;
  await using ranks = start({ servers, kind: 'train', steps: 100_000, ...trouble }, RANKS);
  let failed = NaN;
  if (what === 'kill') {
    await ranks.hasDone(20);
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

for (const [what, name] of [
  ['kill', 'a killed rank'],
  ['throw', 'an error that is thrown'],
  ['length', 'a mismatch'],
] as const) {
  const found: number[] = [];
  for (let i = 0; i < times; i++) found.push(await once(what));
  found.sort((a, b) => a - b);
  console.log(
    `${name}: all are told after ${found[found.length >> 1]} ms in the median, ${found.at(-1)} ms at worst, of ${times} times`,
  );
}

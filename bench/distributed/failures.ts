/**
 * How long it takes until all ranks over NATS are told of a failure: `node scripts/run_ts.mjs bench/distributed/failures.ts [TIMES]`. Each time three
 * processes are started, and one of them is killed, throws or does something else in the middle of its training.
 */

import { rankStarter } from '../../tests/distributed/rank_process.ts';
import { timeOfFailure } from '../../tests/distributed/time_of_failure.ts';
import { startNatsServer } from '../../tests/support/nats_server.ts';

const times = Number(process.argv[2] ?? 10);
const start = await rankStarter();
await using server = await startNatsServer();

for (const [what, name] of [
  ['kill', 'a killed rank'],
  ['throw', 'an error that is thrown'],
  ['length', 'a mismatch'],
] as const) {
  const found: number[] = [];
  for (let i = 0; i < times; i++) found.push(await timeOfFailure(start, `nats://127.0.0.1:${server.port}`, what));
  found.sort((a, b) => a - b);
  console.log(
    `${name}: all are told after ${found[found.length >> 1]} ms in the median, ${found.at(-1)} ms at worst, of ${times} times`,
  );
}

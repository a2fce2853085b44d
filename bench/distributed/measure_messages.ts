/** Measures what a message costs its sender, its receivers and the broker, in time of a processor: other programs of the machine hardly change it. */

import { readFileSync } from 'node:fs';
import { cpuUsage } from 'node:process';
import { initProcessGroup } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import { startNatsServer } from '../../tests/support/nats_server.ts';
import type { MessageCosts } from './simulate.ts';

const BYTES = 4096;
const WARM_UP = 300;
const EXCHANGES = 3000;
/** So many ticks of `/proc` are a second: what `getconf CLK_TCK` says on Linux. */
const TICKS = 100;

/** All ranks in this thread, so that its time is theirs alone. */
async function timesOf(ranks: number): Promise<{ readonly rank: number; readonly broker: number }> {
  await using server = await startNatsServer();
  const groups = await Promise.all(
    Array.from({ length: ranks }, (_, rank) =>
      initProcessGroup({
        backend: nats({ servers: `nats://127.0.0.1:${server.port}` }),
        job: `messages-${ranks}`,
        rank,
        worldSize: ranks,
      }),
    ),
  );
  const bytes = new Uint8Array(BYTES);
  const run = (times: number): Promise<unknown> =>
    Promise.all(
      groups.map(async (group) => {
        for (let i = 0; i < times; i++) await group.allGather(bytes, 'layer');
      }),
    );
  await run(WARM_UP);
  const [own, broker] = [cpuUsage(), processorTime(server.pid)];
  await run(EXCHANGES);
  const { user, system } = cpuUsage(own);
  const spent = {
    rank: (user + system) / 1000 / ranks / EXCHANGES,
    broker: (processorTime(server.pid) - broker) / EXCHANGES,
  };
  await Promise.all(groups.map((group) => group.destroy()));
  return spent;
}

/** What a process has used so far, in milliseconds. */
function processorTime(pid: number): number {
  const [user = NaN, system = NaN] =
    readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13).map(Number) ?? [];
  return ((user + system) * 1000) / TICKS;
}

/**
 * With n ranks each exchange costs a rank one message sent and n - 1 received, and the broker n (n - 1) forwarded: two numbers of ranks tell the costs
 * apart.
 */
export async function measureMessages(few = 2, many = 8): Promise<MessageCosts> {
  const [small, large] = [await timesOf(few), await timesOf(many)];
  const receive = (large.rank - small.rank) / (many - few);
  return {
    send: Math.max(0, small.rank - (few - 1) * receive),
    receive,
    forward: large.broker / (many * (many - 1)),
  };
}

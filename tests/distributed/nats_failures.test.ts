/**
 * Every way in which ranks over NATS fail, with real processes and a real server: each rank is told one error, the right one, its network is as it
 * was before the forward or backward that failed, and its process ends.
 */

import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NatsServer, startNatsServer } from '../support/nats_server.ts';
import { startTcpProxy } from '../support/tcp_proxy.ts';
import type { Trouble } from './nats_rank.ts';
import {
  type RankLine,
  type RankProcess,
  type Ranks,
  rankStarter,
  type RanksTask,
  type Starter,
} from './rank_process.ts';

/** More than anybody does before something fails. */
const ENDLESS = 100_000;
/** How long ranks wait for each other where they do so in vain, in seconds. */
const SHORT = 5;
/** A killed rank is found out within a second where nothing else runs. */
const SOON_MS = 4000;

let server: NatsServer;
let starter: Starter;

beforeAll(async () => {
  [starter, server] = await Promise.all([rankStarter(), startNatsServer()]);
});
afterAll(() => server.stop());

const address = (port: number): string => `nats://127.0.0.1:${port}`;
const start = (task: Partial<RanksTask>, ranks: Parameters<Starter>[1]): Ranks =>
  starter({ kind: 'train', steps: ENDLESS, servers: address(server.port), ...task }, ranks);

/** Waits for the end of ranks, each of which must tell this error. */
async function expectTold(ranks: readonly RankProcess[], name: string, text: string | RegExp): Promise<RankLine[]> {
  const lines = await Promise.all(ranks.map((rank) => rank.end()));
  for (const { error } of lines) {
    expect(error?.name).toBe(name);
    expect(error?.message).toMatch(text);
  }
  const states = await Promise.all(ranks.map((rank) => rank.line(({ state }) => state !== undefined)));
  expect(states).toEqual(ranks.map(() => null));
  return lines;
}

describe.concurrent('ranks over NATS are told', () => {
  it('of_one_that_is_killed_within_a_second_or_so', async () => {
    await using ranks = start({}, 3);
    await ranks.hasDone(3);
    const killed = Date.now();
    await ranks.all[2]?.kill();
    const told = await expectTold(ranks.all.slice(0, 2), 'PeerLostError', 'rank 2 is gone');
    for (const { at = Infinity } of told) expect(at - killed).toBeLessThan(SOON_MS);
  });

  it('of_one_that_is_stopped_and_so_is_that_one_when_it_goes_on', async () => {
    await using ranks = start({ timeout: SHORT }, 3);
    await ranks.hasDone(3);
    ranks.all[2]?.pause();
    const text = `waited ${SHORT} s for rank 2`;
    await expectTold(ranks.all.slice(0, 2), 'GroupTimeoutError', text);
    ranks.all[2]?.resume();
    // It does not take the others for late: they have told it what it has slept through.
    await expectTold(ranks.all.slice(2), 'GroupTimeoutError', text);
  });

  it('of_one_whose_network_stalls', async () => {
    await using proxy = await startTcpProxy(server.port);
    await using ranks = start({ timeout: SHORT }, [{}, {}, { servers: address(proxy.port) }]);
    await ranks.hasDone(3);
    proxy.stall();
    await expectTold(ranks.all.slice(0, 2), 'GroupTimeoutError', `waited ${SHORT} s for rank 2`);
    await expectTold(ranks.all.slice(2), 'GroupTimeoutError', /waited \d s for rank (0, 1|0|1);/);
  });

  it('of_one_whose_network_is_cut_and_that_one_of_its_own_connection', async () => {
    await using proxy = await startTcpProxy(server.port);
    await using ranks = start({ timeout: SHORT }, [{}, {}, { servers: address(proxy.port) }]);
    await ranks.hasDone(3);
    const cut = Date.now();
    proxy.cut();
    const told = await expectTold(ranks.all.slice(0, 2), 'PeerLostError', 'rank 2 is gone');
    for (const { at = Infinity } of told) expect(at - cut).toBeLessThan(SOON_MS);
    await expectTold(ranks.all.slice(2), 'ConnectionLostError', /has had no connection to the server for \d\.\d s/);
  });

  it('of_a_server_that_is_gone_for_good', async () => {
    const own = await startNatsServer();
    await using ranks = start({ timeout: SHORT, servers: address(own.port) }, 2);
    try {
      await ranks.hasDone(3);
    } finally {
      await own.stop();
    }
    await expectTold(ranks.all, 'ConnectionLostError', /has had no connection to the server for \d\.\d s/);
  });

  it('what_one_has_thrown', async () => {
    await using ranks = start({ trouble: { rank: 1, step: 5, what: 'throw' } }, 3);
    const [first, second, third] = ranks.all;
    if (first === undefined || second === undefined || third === undefined) throw new Error('expected three ranks');
    await expectTold([second], 'RangeError', /^no more data$/);
    const text = 'rank 1 of the process group has failed: RangeError: no more data';
    await expectTold([first, third], 'PeerFailedError', text);
  });

  const mismatches: readonly [Trouble, string, RegExp][] = [
    ['channels', 'a_layer_of_other_channels', /Sequential\.0|0: |channels|3.*4|4.*3/],
    ['parameters', 'a_model_of_other_layers', /2\.weight of shape \[1\]/],
    ['length', 'another_collective', /sum of 2 values.*sum of 3 values|sum of 3 values.*sum of 2 values/],
    ['skip', 'a_layer_that_one_skips', /barrier/],
    ['leave', 'one_that_leaves', /destroy\(\)/],
  ];
  it.each(mismatches)('of_a_mismatch_%s_%s', async (what, _, text) => {
    await using ranks = start(
      { trouble: { rank: 1, step: what === 'channels' || what === 'parameters' ? 0 : 5, what } },
      2,
    );
    await expectTold(what === 'leave' ? ranks.all.slice(0, 1) : ranks.all, 'CollectiveMismatchError', text);
  });
});

describe.concurrent('ranks over NATS go on', () => {
  it('while_one_computes_for_long', async () => {
    await using ranks = start({ steps: 10, timeout: 20, trouble: { rank: 1, step: 5, what: 'busy' } }, 2);
    for (const { error, result } of await ranks.ends()) {
      expect(error).toBeUndefined();
      expect(result).toEqual(expect.any(String));
    }
  });

  it('with_the_same_bits_while_garbage_foreign_and_damaged_frames_come', async () => {
    await using connection = await disposable(address(server.port));
    // The frames of another run, by the ends of their subjects: `all`, `to.0`, `to.1`.
    const foreign: { readonly end: string; readonly data: Uint8Array }[] = [];
    const listening = connection.subscribe('syncbn.foreign.*.>', {
      callback: (_, { subject, data }) => {
        foreign.push({ end: subject.split('.').slice(3).join('.'), data });
      },
    });
    await using undisturbed = start({ steps: 60, job: 'foreign' }, 2);
    const [expected] = await undisturbed.ends();
    listening.unsubscribe();
    expect(foreign.length).toBeGreaterThan(100);

    await using ranks = start({ steps: 60, job: 'disturbed' }, 2);
    let i = 0;
    connection.subscribe('syncbn.disturbed.*.>', {
      callback: (_, { subject, data }) => {
        const { end, data: other } = foreign[i] ?? { end: '' };
        if (other === undefined) return;
        i += 1;
        const damaged = Uint8Array.from(data);
        // One bit is another, somewhere in what a rank has sent.
        const bit = (7919 * i) % (8 * Math.max(1, damaged.length));
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const base = subject.split('.').slice(0, 3).join('.');
        connection.publish(`${base}.${end}`, other);
        for (const each of [damaged, crypto.getRandomValues(new Uint8Array(i % 700))])
          connection.publish(subject, each);
      },
    });
    const found = await ranks.ends();
    for (const { error, result, refused = 0 } of found) {
      expect(error).toBeUndefined();
      expect(result).toEqual(expected?.result);
      expect(refused).toBeGreaterThan(50);
    }
  });
});

async function disposable(servers: string) {
  const connection = await connect({ servers, noEcho: true });
  return Object.assign(connection, { [Symbol.asyncDispose]: () => connection.close() });
}

/** Ranks as processes that meet at a real NATS server. What becomes of them when something fails is in `nats_failures.test.ts`. */

import { initProcessGroup, RendezvousError } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NatsServer, startNatsServer } from '../support/nats_server.ts';
import { type Ranks, rankStarter, type RanksTask, type Starter } from './rank_process.ts';

let server: NatsServer;
let starter: Starter;

beforeAll(async () => {
  [starter, server] = await Promise.all([rankStarter(), startNatsServer()]);
});
afterAll(() => server.stop());

const start = (task: Partial<RanksTask> & Pick<RanksTask, 'kind'>, ranks: Parameters<Starter>[1]): Ranks =>
  starter({ servers: `nats://127.0.0.1:${server.port}`, ...task }, ranks);

describe.concurrent('ranks over NATS', () => {
  it('have_the_bits_of_each_other_also_when_the_server_ends_and_comes_back_within_the_training', async () => {
    const task = { kind: 'train', steps: 120 } as const;
    await using undisturbed = start(task, 2);
    const first = await startNatsServer();
    await using disturbed = start({ ...task, servers: `nats://127.0.0.1:${first.port}` }, 2);
    try {
      await disturbed.hasDone(20);
    } finally {
      await first.stop();
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const again = await startNatsServer('', { port: first.port });
    const found = await disturbed.ends().finally(() => again.stop());
    const [expected] = await undisturbed.ends();
    expect(expected?.result).toEqual(expect.any(String));
    for (const { error, result } of found) {
      expect(error).toBeUndefined();
      expect(result).toEqual(expected?.result);
    }
  });

  it('exchange_what_is_longer_than_the_server_takes_in_one_message', async () => {
    await using small = await startNatsServer('max_payload: 16KB');
    const servers = `nats://127.0.0.1:${small.port}`;
    await using ranks = start({ kind: 'large', values: 1_000_000, servers }, 2);
    for (const { result } of await ranks.ends()) {
      expect(result).toEqual([2, 2, expect.any(Number)]);
      expect((result as number[])[2]).toBeGreaterThan(200);
    }
  });

  it('wait_with_much_data_for_one_that_stands_still_for_a_while', async () => {
    await using ranks = start({ kind: 'large', values: 5_000_000 }, 2);
    await ranks.begun();
    // In the middle of 20 MB each way.
    await new Promise((resolve) => setTimeout(resolve, 100));
    ranks.all[1]?.pause();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    ranks.all[1]?.resume();
    for (const { error, result } of await ranks.ends()) {
      expect(error).toBeUndefined();
      expect(result).toEqual([2, 2, expect.any(Number)]);
    }
  });
});

describe.concurrent('the rendezvous', () => {
  it.each([
    ['a_rank_that_is_taken', [{ rank: 0 }, { rank: 1 }, { rank: 1 }], 'rank 1 is taken twice'],
    ['two_that_are_rank_0', [{ rank: 0 }, { rank: 0 }], 'rank 0 is taken twice'],
    [
      'another_worldSize',
      [{ worldSize: 2 }, { worldSize: 3 }],
      'rank 1 expects a worldSize of 3, rank 0 of 2; give all ranks the same',
    ],
    [
      'a_rank_beyond_the_worldSize_of_the_first',
      [{ worldSize: 2 }, { rank: 2, worldSize: 3 }],
      'rank 2 expects a worldSize of 3, rank 0 of 2; give all ranks the same',
    ],
  ])('refuses_%s_and_all_hear_of_it', async (_, ranks, text) => {
    await using refused = start({ kind: 'wait' }, ranks);
    for (const { error } of await refused.ends()) {
      expect(error?.name).toBe('RendezvousError');
      expect(error?.message).toContain(text);
    }
  });

  it('refuses_a_late_process_and_the_job_goes_on', async () => {
    await using ranks = start({ kind: 'wait', job: 'begun' }, 2);
    await ranks.begun();
    await using late = start({ kind: 'wait', job: 'begun' }, [{ rank: 1, worldSize: 2 }]);
    expect((await late.ends())[0]?.error?.message).toContain('the job has begun without this process');
    // Rank 0 still waits for rank 1, and has heard of nothing.
    await ranks.all[1]?.kill();
    expect((await ranks.all[0]?.end())?.error?.name).toBe('PeerLostError');
  });

  it('names_a_rank_that_does_not_come', async () => {
    await using ranks = start({ kind: 'wait', rendezvousTimeout: 1.5 }, [{ worldSize: 3 }, { worldSize: 3 }]);
    const found = await ranks.ends();
    for (const { error } of found) expect(error?.name).toBe('RendezvousError');
    expect(found[0]?.error?.message).toMatch(/for rank (1, )?2; start it/);
  });

  it('tells_that_there_is_no_server', async () => {
    const backend = nats({ servers: 'nats://127.0.0.1:1' });
    const joining = initProcessGroup({ backend, job: 'none', rank: 0, worldSize: 1, timeout: 2 });
    await expect(joining).rejects.toBeInstanceOf(RendezvousError);
  });
});

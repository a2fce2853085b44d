/** Ranks as processes that meet at a real NATS server, and what becomes of them when something fails. */

import { connect } from '@nats-io/transport-node';
import { createUser } from '@nats-io/nkeys';
import { initProcessGroup, RendezvousError } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bundleProgram } from '../support/bundle_program.ts';
import { type NatsServer, type RankProcess, startNatsServer, startRank } from '../support/nats_server.ts';
import type { NatsTask } from './nats_rank.ts';

let program: string;
let server: NatsServer;
const running: RankProcess[] = [];
let jobs = 0;

beforeAll(async () => {
  [program, server] = await Promise.all([bundleProgram('tests/distributed/nats_rank.ts'), startNatsServer()]);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((rank) => rank.kill()));
});
afterAll(() => server.stop());

function newJob(): string {
  jobs += 1;
  return `job-${jobs}`;
}

function start(task: Partial<NatsTask> & Pick<NatsTask, 'kind' | 'rank'>): RankProcess {
  const place = { port: server.port, job: `job-${jobs}`, worldSize: 2, timeout: 20 };
  const rank = startRank(program, { ...place, ...task });
  running.push(rank);
  return rank;
}

/** All ranks of a new job. */
function startAll(task: Partial<NatsTask> & Pick<NatsTask, 'kind'>, worldSize = 2): RankProcess[] {
  newJob();
  return Array.from({ length: worldSize }, (_, rank) => start({ ...task, rank, worldSize }));
}

const begun = (ranks: readonly RankProcess[]): Promise<unknown> =>
  Promise.all(ranks.map((rank) => rank.line((line) => line.begun === true)));
const ends = (ranks: readonly RankProcess[]) => Promise.all(ranks.map((rank) => rank.end()));

describe('ranks over NATS', () => {
  it('have_the_bits_of_each_other_also_when_the_server_ends_and_comes_back_within_the_training', async () => {
    const [undisturbed] = await ends(startAll({ kind: 'train', steps: 120 }));
    expect(undisturbed?.error).toBeUndefined();
    let own = await startNatsServer();
    const ranks = startAll({ kind: 'train', steps: 120, port: own.port });
    await Promise.all(ranks.map((rank) => rank.line((line) => (line.step ?? 0) >= 20)));
    await own.stop();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    own = await startNatsServer('', own.port);
    const disturbed = await ends(ranks);
    await own.stop();
    for (const { error, result } of disturbed) {
      expect(error).toBeUndefined();
      expect(result).toEqual(undisturbed?.result);
    }
  });

  it('exchange_what_is_longer_than_the_server_takes_in_one_message', async () => {
    const small = await startNatsServer('max_payload: 16KB');
    const found = await ends(startAll({ kind: 'large', port: small.port }));
    await small.stop();
    for (const { result } of found) {
      expect(result).toEqual([2, 2, expect.any(Number)]);
      expect((result as number[])[2]).toBeGreaterThan(200);
    }
  });

  it('are_told_of_a_killed_one_within_a_second_or_so', async () => {
    const ranks = startAll({ kind: 'wait' }, 3);
    await begun(ranks);
    const killed = Date.now();
    await ranks[2]?.kill();
    for (const { error, at = Infinity } of await ends(ranks.slice(0, 2))) {
      expect(error?.name).toBe('PeerLostError');
      expect(error?.message).toContain('rank 2 is gone');
      // A second where nothing else runs.
      expect(at - killed).toBeLessThan(4000);
    }
  });

  it('are_told_what_one_has_thrown', async () => {
    const [first, second, third] = await ends(startAll({ kind: 'throw' }, 3));
    expect(second?.error).toEqual({ name: 'RangeError', message: 'no more data' });
    for (const each of [first, third]) {
      expect(each?.error?.name).toBe('PeerFailedError');
      expect(each?.error?.message).toContain('rank 1 of the process group has failed: RangeError: no more data');
    }
  });

  it('are_told_that_they_do_different_things', async () => {
    for (const { error } of await ends(startAll({ kind: 'mismatch' }))) {
      expect(error?.name).toBe('CollectiveMismatchError');
      expect(error?.message).toMatch(/sum of 2 values.*sum of 3 values|sum of 3 values.*sum of 2 values/);
    }
  });

  it('are_not_disturbed_by_garbage_on_their_subjects', async () => {
    const ranks = startAll({ kind: 'train', steps: 80 });
    const connection = await connect({ servers: `127.0.0.1:${server.port}` });
    const subjects = new Set<string>();
    connection.subscribe('syncbn.>', { callback: (_, { subject }) => void subjects.add(subject) });
    await begun(ranks);
    for (let i = 0; i < 500; i++) {
      for (const subject of subjects) connection.publish(subject, crypto.getRandomValues(new Uint8Array(i)));
      if (i % 50 === 0) await connection.flush();
    }
    await connection.close();
    const [first, second] = await ends(ranks);
    expect(first?.error).toBeUndefined();
    expect(second?.result).toEqual(first?.result);
    expect(subjects.size).toBeGreaterThan(1);
  });
});

describe('the rendezvous', () => {
  it('refuses_a_rank_that_is_taken_and_all_hear_of_it', async () => {
    newJob();
    const worldSize = 3;
    const found = await ends([0, 1, 1].map((rank) => start({ kind: 'wait', rank, worldSize })));
    for (const { error } of found) {
      expect(error?.name).toBe('RendezvousError');
      expect(error?.message).toContain('rank 1 is taken twice');
    }
  });

  it('refuses_another_worldSize_and_all_hear_of_it', async () => {
    newJob();
    const found = await ends([
      start({ kind: 'wait', rank: 0, worldSize: 2 }),
      start({ kind: 'wait', rank: 1, worldSize: 3 }),
    ]);
    for (const { error } of found) {
      expect(error?.name).toBe('RendezvousError');
      expect(error?.message).toContain('rank 1 expects a worldSize of 3, rank 0 of 2');
    }
  });

  it('refuses_a_late_process_and_the_job_goes_on', async () => {
    const ranks = startAll({ kind: 'wait' });
    await begun(ranks);
    const { error } = await start({ kind: 'wait', rank: 1 }).end();
    expect(error?.message).toContain('the job has begun without this process');
    // Rank 0 still waits for rank 1, and has heard of nothing.
    await ranks[1]?.kill();
    expect((await ranks[0]?.end())?.error?.name).toBe('PeerLostError');
  });

  it('names_a_rank_that_does_not_come', async () => {
    newJob();
    const found = await ends([0, 1].map((rank) => start({ kind: 'wait', rank, worldSize: 3, timeout: 1.5 })));
    for (const { error } of found) expect(error?.name).toBe('RendezvousError');
    expect(found[0]?.error?.message).toContain('for rank 2');
  });

  it('tells_that_there_is_no_server', async () => {
    const backend = nats({ servers: 'nats://127.0.0.1:1' });
    const joining = initProcessGroup({ backend, job: 'none', rank: 0, worldSize: 1, timeout: 2 });
    await expect(joining).rejects.toBeInstanceOf(RendezvousError);
  });
});

describe('credentials', () => {
  const user = createUser();
  const config = `authorization {
    users: [
      { user: digits, password: secret, permissions: {
        publish: ["syncbn.digits.>", "_INBOX.>"], subscribe: ["syncbn.digits.>", "_INBOX.>"] } }
      { nkey: ${user.getPublicKey()} }
    ]
  }`;
  let guarded: NatsServer;
  beforeAll(async () => {
    guarded = await startNatsServer(config);
  });
  afterAll(() => guarded.stop());

  function joining(job: string, credentials: NonNullable<NatsTask['credentials']> | undefined): Promise<unknown> {
    const servers = `nats://127.0.0.1:${guarded.port}`;
    const backend = nats(credentials === undefined ? { servers } : { servers, credentials });
    return initProcessGroup({ backend, job, rank: 0, worldSize: 1, timeout: 3 }).then((group) => group.destroy());
  }

  it('of_user_and_of_nkey_let_a_rank_in', async () => {
    await joining('digits', { user: 'digits', pass: 'secret' });
    await joining('digits', { nkey: new TextDecoder().decode(user.getSeed()) });
  });

  it.each([
    ['wrong', { user: 'digits', pass: 'other' }],
    ['missing', undefined],
  ])('that_are_%s_are_told', async (_, credentials) => {
    const error: unknown = await joining('digits', credentials).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RendezvousError);
    expect(String(error)).toContain('AuthorizationError');
  });

  it('that_allow_one_job_do_not_let_a_rank_into_another', async () => {
    await expect(joining('other', { user: 'digits', pass: 'secret' })).rejects.toThrow(/permission/i);
  });
});

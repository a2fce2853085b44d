import { BatchNorm1d, init, Sequential, tensor } from 'syncbn';
import { RankError, spawn, type SpawnedWorker } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomArray } from '../support/random.ts';
import { rankWorkers } from '../support/rank_workers.ts';
import { ways } from './ports_groups.ts';
import type { Task } from './rank_tasks.ts';

let make: () => SpawnedWorker;
beforeAll(async () => {
  make = await rankWorkers();
  await init();
});

describe.each(ways)('spawn, by %s', (way) => {
  function run<Result>(nprocs: number, args: Task): Promise<Result[]> {
    return spawn<Result>(make, { nprocs, args, timeout: 20, sharedMemory: way === 'shared memory' });
  }

  it('runs_ranks_that_have_a_group_and_gives_what_they_return', async () => {
    expect(await run(3, { kind: 'sum' })).toEqual([
      [0, 3, 6],
      [1, 3, 6],
      [2, 3, 6],
    ]);
  });

  it.each([
    [2, [3, 4]],
    [3, [5, 0, 1]],
    [4, [1, 2, 3, 2]],
  ])('gives_%d_ranks_the_bits_of_one_process', async (size, samples) => {
    interface Found {
      readonly y: Float32Array;
      readonly dx: Float32Array;
      readonly state: readonly (number | Float32Array)[];
    }
    const total = samples.reduce((sum, count) => sum + count, 0);
    const values = randomArray(size, total * 12);
    const found = await run<Found>(size, { kind: 'layer', values, samples });
    const net = new Sequential(new BatchNorm1d(3));
    const x = tensor(values, [total, 3, 4], { requiresGrad: true });
    const y = await net.forward(x);
    await y.backward(
      tensor(
        values.map((value) => value * value),
        [total, 3, 4],
      ),
    );
    expectSameBits(
      found.flatMap((each) => [...each.y]),
      await y.data(),
      'y',
    );
    expectSameBits(
      found.flatMap((each) => [...each.dx]),
      (await x.grad?.data()) ?? [],
      'dx',
    );
    const state = await Promise.all(
      Object.values(net.stateDict()).map((each) => (typeof each === 'number' ? Promise.resolve(each) : each.data())),
    );
    found.forEach((each) => expect(each.state).toEqual(state));
  });

  it('fails_with_the_error_of_the_rank_that_has_thrown', async () => {
    const start = performance.now();
    const error: unknown = await run(3, { kind: 'throw', rank: 1 }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RankError);
    expect(error).toMatchObject({ rank: 1, message: 'rank 1 has failed: RangeError: no more data' });
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it('fails_soon_where_a_thread_ends_by_itself', async () => {
    const start = performance.now();
    await expect(run(3, { kind: 'end', rank: 2 })).rejects.toBeInstanceOf(RankError);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it('fails_where_ranks_do_different_things', async () => {
    await expect(run(2, { kind: 'mismatch', rank: 1 })).rejects.toThrow('CollectiveMismatchError');
  });

  it('fails_where_a_rank_leaves_while_others_wait', async () => {
    await expect(run(2, { kind: 'leave', rank: 1 })).rejects.toThrow('got destroy() from rank 1');
  });

  it('fails_where_a_result_cannot_be_sent', async () => {
    await expect(run(2, { kind: 'uncloneable', rank: 0 })).rejects.toThrow('rank 0 has failed: DataCloneError');
  });

  it('waits_for_a_rank_that_computes', async () => {
    expect(await run(2, { kind: 'busy', rank: 1 })).toEqual([[2], [2]]);
  });
});

describe('spawn', () => {
  it.each([0, -1, 1.5])('refuses_%d_ranks', async (nprocs) => {
    await expect(spawn(make, { nprocs })).rejects.toThrow('expected a positive number of nprocs');
  });

  it('refuses_what_is_no_program', async () => {
    await expect(spawn(7 as never, { nprocs: 1 })).rejects.toThrow('expected the URL of a module');
  });
});

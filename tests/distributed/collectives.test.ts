import fc from 'fast-check';
import { CollectiveMismatchError, init, tensor } from 'syncbn';
import {
  createLocalGroups,
  GroupDestroyedError,
  GroupTimeoutError,
  PeerFailedError,
  type ProcessGroup,
  runRanks,
} from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomArray } from '../support/random.ts';

beforeAll(() => init(['cpu:0']));

/** The sum in order of ranks, rounded after each addition. */
function sumOf(parts: readonly Float32Array[]): Float32Array {
  return parts.reduce((sum, part) => sum.map((value, i) => value + (part[i] ?? 0)));
}

function partsOf(size: number, length: number): Float32Array[] {
  return Array.from({ length: size }, (_, rank) => randomArray(100 * size + rank, length));
}

async function errorsOf(size: number, run: (group: ProcessGroup) => Promise<unknown>): Promise<unknown[]> {
  const groups = await createLocalGroups(size, { timeout: 5 });
  return Promise.all(groups.map((group) => run(group).catch((error: unknown) => error)));
}

describe('allReduce', () => {
  // Around what is sent to all, and around the end of a round.
  it.each([0, 1, 4096, 4097, 300_001])('adds_%d_values_in_order_of_ranks_on_every_rank', async (length) => {
    for (const size of [1, 2, 3]) {
      const parts = partsOf(size, length);
      const sums = await runRanks(size, (group) => group.allReduce(parts[group.rank]?.slice() ?? new Float32Array()));
      sums.forEach((sum, rank) => expectSameBits(sum, sumOf(parts), `sum of ${size} ranks on rank ${rank}`));
    }
  });

  it.each([10, 5000])('gives_mean_and_maximum_of_%d_values', async (length) => {
    const parts = partsOf(3, length);
    const found = await runRanks(3, async (group) => {
      const own = parts[group.rank] ?? new Float32Array();
      return [await group.allReduce(own.slice(), { op: 'mean' }), await group.allReduce(own.slice(), { op: 'max' })];
    });
    for (const [mean = [], max = []] of found) {
      expectSameBits(
        mean,
        sumOf(parts).map((value) => value / 3),
      );
      expectSameBits(
        max,
        parts.reduce((a, b) => a.map((value, i) => Math.max(value, b[i] ?? 0))),
      );
    }
  });

  it('lets_no_NaN_get_lost_in_a_maximum', async () => {
    const given = [Float32Array.of(Number.NaN, 1), Float32Array.of(2, Number.NaN)];
    const found = await runRanks(2, (group) => group.allReduce(given[group.rank] ?? new Float32Array(), { op: 'max' }));
    found.forEach((max) => expectSameBits(max, [Number.NaN, Number.NaN]));
  });

  it('changes_a_tensor_in_place', async () => {
    const tensors = [tensor([1, 2]), tensor([10, 20])];
    await runRanks(2, (group) => group.allReduce(tensors[group.rank] ?? tensor([0])));
    for (const sum of tensors) expect([...(await sum.data())]).toEqual([11, 22]);
  });

  it('leaves_the_values_as_they_were_when_it_fails', async () => {
    const values = [Float32Array.of(1), Float32Array.of(1, 2)];
    await errorsOf(2, (group) => group.allReduce(values[group.rank] ?? new Float32Array()));
    expect(values).toEqual([Float32Array.of(1), Float32Array.of(1, 2)]);
  });

  it.each([
    ['op', { op: 'product' }, 'expected op to be one of sum, mean, max'],
    ['tag', { tag: 7 }, 'expected a tag'],
    ['a name', { reduction: 'sum' }, "unknown option 'reduction'"],
  ])('refuses_another_%s', async (_, options, text) => {
    const [group] = await createLocalGroups(1);
    await expect(group?.allReduce(Float32Array.of(1), options as object)).rejects.toThrow(text);
  });
});

describe('broadcast', () => {
  it.each([0, 2])('gives_all_the_values_of_rank_%d', async (source) => {
    const found = await runRanks(3, async (group) => {
      const floats = await group.broadcast(Float32Array.of(group.rank, -0), source);
      const bytes = await group.broadcast(Uint8Array.of(group.rank), source);
      const moved = await group.broadcast(tensor([group.rank]), source);
      return [...floats, ...bytes, ...(await moved.data())];
    });
    expect(found).toEqual([0, 1, 2].map(() => [source, -0, source, source]));
  });

  it('does_not_wait_at_its_source', async () => {
    const [first, second] = await createLocalGroups(2);
    const values = Float32Array.of(5);
    await first?.broadcast(values);
    values[0] = 6;
    expect(await second?.broadcast(Float32Array.of(0))).toEqual(Float32Array.of(5));
  });
});

describe('send and recv', () => {
  it('bring_values_from_one_rank_to_another_in_order', async () => {
    const found = await runRanks(3, async (group) => {
      if (group.rank === 0) {
        await group.send(Float32Array.of(1), 2);
        await group.send(Float32Array.of(2), 2);
      }
      if (group.rank !== 2) return [];
      const values = [await group.recv(new Float32Array(1), 0), await group.recv(new Float32Array(1), 0)];
      return values.map(([value]) => value);
    });
    expect(found[2]).toEqual([1, 2]);
  });

  it.each([0, 3, -1, 0.5])('refuse_rank_%d', async (rank) => {
    const [group] = await createLocalGroups(3);
    await expect(group?.send(Float32Array.of(1), rank)).rejects.toThrow('expected another rank from 0 to 2');
  });
});

describe('newGroup', () => {
  it('exchanges_among_its_ranks_in_their_order', async () => {
    const found = await runRanks(4, async (group) => {
      const parts = [group.newGroup([3, 0]), group.newGroup([1, 2])];
      const [own] = parts.filter((part) => part !== null);
      const all = await own?.allGather(Uint8Array.of(group.rank));
      const [whole] = await group.allReduce(Float32Array.of(1));
      return [own?.rank, ...(all?.map(([rank]) => rank) ?? []), whole];
    });
    expect(found).toEqual([
      [1, 3, 0, 4],
      [0, 1, 2, 4],
      [1, 1, 2, 4],
      [0, 3, 0, 4],
    ]);
  });

  it.each([[[]], [[1, 1]], [[2]], [[0.5]]])('refuses_ranks_%j', async (ranks) => {
    const [group] = await createLocalGroups(2);
    expect(() => group?.newGroup(ranks)).toThrow(RangeError);
  });
});

describe('any program of collectives', () => {
  const step = fc.record({
    kind: fc.constantFrom('allGather', 'allReduce', 'broadcast', 'barrier', 'pair'),
    length: fc.integer({ min: 0, max: 3 }),
    root: fc.nat(2),
  });

  async function run(
    group: ProcessGroup,
    { kind, length, root }: { kind: string; length: number; root: number },
  ): Promise<string> {
    const own = Float32Array.from({ length }, (_, i) => 10 * group.rank + i);
    switch (kind) {
      case 'allGather':
        return (await group.allGather(new Uint8Array(length + group.rank).fill(group.rank))).join('|');
      case 'allReduce':
        return (await group.allReduce(own)).join();
      case 'broadcast':
        return (await group.broadcast(own, root)).join();
      case 'pair':
        if (group.rank === root) await group.send(own, (root + 1) % 3);
        return group.rank === (root + 1) % 3 ? String((await group.recv(own, root))[0]) : '';
      default:
        await group.barrier();
        return '';
    }
  }

  it('gives_each_step_what_it_gives_alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        // At once, so that many are under way.
        const together = await runRanks(3, (group) => Promise.all(steps.map((each) => run(group, each))));
        const alone: string[][] = [[], [], []];
        for (const each of steps) {
          (await runRanks(3, (group) => run(group, each))).forEach((text, rank) => alone[rank]?.push(text));
        }
        expect(together).toEqual(alone);
      }),
      { seed: 3, numRuns: 40 },
    );
  });
});

describe('ranks that do not do the same', () => {
  it.each<[string, (group: ProcessGroup) => Promise<unknown>]>([
    ['another collective', (group) => (group.rank === 0 ? group.barrier() : group.allReduce(Float32Array.of(1)))],
    ['another length', (group) => group.allReduce(new Float32Array(1 + group.rank))],
    ['another operation', (group) => group.allReduce(Float32Array.of(1), { op: group.rank === 0 ? 'sum' : 'max' })],
    ['another source', (group) => group.broadcast(Float32Array.of(1), group.rank)],
  ])('in_%s_are_told_so_at_once', async (_, call) => {
    const start = performance.now();
    const errors = await errorsOf(2, async (group) => {
      await call(group);
      // A source has nothing to wait for and is told by its next call.
      await group.barrier();
    });
    expect(performance.now() - start).toBeLessThan(1000);
    for (const error of errors) expect(error).toBeInstanceOf(CollectiveMismatchError);
  });

  it('and_one_that_has_left_is_named', async () => {
    const errors = await errorsOf(3, async (group) => {
      if (group.rank === 1) return group.destroy();
      return group.barrier();
    });
    for (const error of [errors[0], errors[2]]) {
      expect(error).toBeInstanceOf(CollectiveMismatchError);
      expect(error).toMatchObject({ rank: 1 });
    }
  });

  it('and_wait_for_each_other_are_told_so', async () => {
    const errors = await errorsOf(2, (group) => group.recv(new Float32Array(1), 1 - group.rank));
    for (const error of errors) expect(error).toBeInstanceOf(CollectiveMismatchError);
  });

  it('and_one_that_comes_late_is_waited_for', async () => {
    const found = await runRanks(2, async (group) => {
      if (group.rank === 1) await new Promise((resolve) => setTimeout(resolve, 1600));
      return group.allReduce(Float32Array.of(1));
    });
    expect(found).toEqual([Float32Array.of(2), Float32Array.of(2)]);
  });
});

describe('a group that has failed', () => {
  it('says_the_same_from_then_on', async () => {
    const [first, second] = await createLocalGroups(2);
    const waiting = first?.barrier();
    second?.abort(new RangeError('no more data'));
    await expect(waiting).rejects.toThrow('rank 1 of the process group has failed: RangeError: no more data');
    await expect(first?.allReduce(Float32Array.of(1))).rejects.toBeInstanceOf(PeerFailedError);
    expect(first?.failure).toBeInstanceOf(PeerFailedError);
    await expect(second?.barrier()).rejects.toThrow('no more data');
  });

  it('by_time_is_so_on_all_ranks', async () => {
    const groups = await createLocalGroups(3, { timeout: 0.2 });
    const waits = groups.slice(0, 2).map((group) => group.barrier().catch((error: unknown) => error));
    for (const error of await Promise.all(waits)) {
      expect(error).toBeInstanceOf(GroupTimeoutError);
      expect(error).toMatchObject({ ranks: [2], timeoutSeconds: 0.2 });
    }
  });

  it('after_destroy_says_that', async () => {
    const [group] = await createLocalGroups(1);
    await group?.destroy();
    await expect(group?.barrier()).rejects.toBeInstanceOf(GroupDestroyedError);
  });
});

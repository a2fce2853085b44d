/** Ranks of a synchronized layer that differ, or wait for each other. */

import {
  BatchNorm1d,
  CollectiveMismatchError,
  devices,
  init,
  SynchronizedBatchNorm1d,
  tensor,
  type SynchronizedBatchNormOptions,
} from 'syncbn';
import { createLocalGroups, GroupTimeoutError, runRanks } from 'syncbn/distributed';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { batch, begun, counted, loadLayer, step } from './layer_in_group.ts';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1', 'cpu:2']);
  // What a synchronized layer loads is there when a test counts turns of the event loop.
  await loadLayer();
});
afterEach(() => void vi.useRealTimers());

describe('ranks that do not do the same', () => {
  it.each<[string, (rank: number) => SynchronizedBatchNormOptions, string]>([
    ['eps', (rank) => ({ eps: rank === 0 ? 1e-5 : 1e-3 }), 'eps 0.001'],
    ['numerics', (rank) => ({ numerics: rank === 0 ? 'stable' : 'torch' }), "numerics 'torch'"],
    ['epsMode', (rank) => ({ epsMode: rank === 0 ? 'plus' : 'clamp' }), "epsMode 'clamp'"],
  ])('in_%s_are_told_so_on_every_rank', async (_, optionsOf, text) => {
    const errors = await runRanks(2, async (processGroup) => {
      const layer = new SynchronizedBatchNorm1d(2, { ...optionsOf(processGroup.rank), processGroup });
      return layer.forward(batch(2)).catch((error: unknown) => error);
    });
    expect(errors).toEqual([expect.any(CollectiveMismatchError), expect.any(CollectiveMismatchError)]);
    expect(errors).toMatchObject([{ rank: 1 }, { rank: 0 }]);
    expect(String(errors[0])).toContain(text);
    expect(String(errors[0])).toContain('process group, synchronized layer 0, call 0');
  });

  it('in_the_number_of_channels_are_told_so', async () => {
    const errors = await runRanks(2, async (processGroup) => {
      const layer = new SynchronizedBatchNorm1d(2 + processGroup.rank, { processGroup });
      return layer
        .forward(tensor(new Float32Array(6), [6 / (2 + processGroup.rank), 2 + processGroup.rank]))
        .catch(String);
    });
    expect(errors[0]).toContain('expected 2 channels');
    expect(errors[0]).toContain('got 3 channels');
  });

  it('in_whether_gradients_are_recorded_are_told_so_before_one_waits_for_a_backward', async () => {
    const errors = await runRanks(2, async (processGroup) => {
      const layer = new SynchronizedBatchNorm1d(2, { processGroup, affine: false });
      return layer.forward(batch(2, processGroup.rank === 0)).catch(String);
    });
    expect(errors[0]).toContain('got 2 channels');
    expect(errors[0]).toContain('not recorded for gradients from rank 1');
  });

  it('also_when_they_were_alike_in_the_call_before', async () => {
    const errors = await runRanks(2, async (processGroup) => {
      const layer = new SynchronizedBatchNorm1d(2, { processGroup });
      await step(layer, 2);
      layer.eps = processGroup.rank === 0 ? 1e-5 : 0.5;
      return layer.forward(batch(2)).catch((error: unknown) => error);
    });
    expect(errors).toEqual([expect.any(CollectiveMismatchError), expect.any(CollectiveMismatchError)]);
  });

  /** Ranks of which each waits in another layer, and the errors that they get. */
  async function inDifferentLayers(): Promise<Promise<unknown>[]> {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const tags: string[] = [];
    const groups = (await createLocalGroups(2)).map((group) => counted(group, tags));
    const waits = groups.map(async (group) => {
      const layers = [0, 1].map(() => new SynchronizedBatchNorm1d(2, { processGroup: group }));
      return layers[group.rank]?.forward(batch(2)).catch((error: unknown) => error);
    });
    await begun(tags, 2);
    return waits;
  }

  it('and_wait_in_different_layers_are_told_which_in_50_ms', async () => {
    const waits = await inDifferentLayers();
    await vi.advanceTimersByTimeAsync(50);
    for (const error of await Promise.all(waits)) {
      expect(error).toBeInstanceOf(CollectiveMismatchError);
      expect(String(error)).toContain('synchronized layer 0, call 0, forward');
      expect(String(error)).toContain('synchronized layer 1, call 0, forward');
    }
  });

  it('and_wait_in_different_layers_have_a_second_where_they_have_work_on_other_devices', async () => {
    await init(['worker:0']);
    const elsewhere = await new BatchNorm1d(2, { device: 'worker:0' }).forward(
      tensor([1, 2, 3, 4], [2, 2], { device: 'worker:0' }),
    );
    const waits = await inDifferentLayers();
    let hasFailed = false;
    waits.forEach((wait) => void wait.then(() => (hasFailed = true)));
    await vi.advanceTimersByTimeAsync(900);
    expect(hasFailed).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    for (const error of await Promise.all(waits)) expect(error).toBeInstanceOf(CollectiveMismatchError);
    elsewhere.dispose();
    await devices.close('worker:0');
  });

  it('and_whose_branches_come_in_another_order_are_waited_for', async () => {
    const found = await runRanks(2, (group) => {
      const branch = async (name: string, isFirst: boolean): Promise<number | undefined> => {
        if (!isFirst) await new Promise((resolve) => setTimeout(resolve, 12));
        return (await group.allGather(Uint8Array.of(7), name))[1]?.[0];
      };
      return Promise.all([branch('a', group.rank === 0), branch('b', group.rank === 1)]);
    });
    expect(found).toEqual([
      [7, 7],
      [7, 7],
    ]);
  });

  it('and_whose_loops_have_groups_of_their_own_are_waited_for_while_each_waits_for_the_other_loop', async () => {
    const found = await runRanks(2, async (group) => {
      const loops = [group.newGroup([0, 1]), group.newGroup([0, 1])];
      const loop = async (number: number): Promise<number | undefined> => {
        // Each rank has one loop that waits and one that loads its data.
        if (number === group.rank) await new Promise((resolve) => setTimeout(resolve, 200));
        return (await loops[number]?.allGather(Uint8Array.of(7)))?.[1]?.[0];
      };
      return Promise.all([loop(0), loop(1)]);
    });
    expect(found).toEqual([
      [7, 7],
      [7, 7],
    ]);
  });

  it('and_one_that_does_not_come_is_named_when_time_is_up', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const tags: string[] = [];
    const [group] = await createLocalGroups(3, { timeout: 4 });
    const layer = new SynchronizedBatchNorm1d(2, { processGroup: group ? counted(group, tags) : null });
    const waiting = layer.forward(batch(2)).catch((error: unknown) => error);
    await begun(tags, 1);
    await vi.advanceTimersByTimeAsync(4000);
    const error = await waiting;
    expect(error).toBeInstanceOf(GroupTimeoutError);
    expect(error).toMatchObject({ ranks: [1, 2], tag: 'synchronized layer 0, call 0, forward', timeoutSeconds: 4 });
  });
});

/** How often the ranks of a synchronized layer exchange something, and what. */

import {
  BatchNorm1d,
  DataParallelWithCallBack,
  functional,
  init,
  SynchronizedBatchNorm1d,
  tensor,
  type SynchronizedBatchNormOptions,
} from 'syncbn';
import { createLocalGroups, runRanks } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { randomArray } from '../support/random.ts';
import { batch, counted, step } from './layer_in_group.ts';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1', 'cpu:2']);
});

describe('exchanges of a layer', () => {
  /** How many each step makes, on rank 0. */
  async function exchanges(
    steps: readonly (readonly number[])[],
    options: SynchronizedBatchNormOptions = {},
  ): Promise<number[]> {
    const [counts = []] = await runRanks(2, async (group) => {
      const tags: string[] = [];
      const layer = new SynchronizedBatchNorm1d(2, { ...options, processGroup: counted(group, tags) });
      const found: number[] = [];
      for (const samples of steps) {
        tags.length = 0;
        await step(layer, samples[group.rank] ?? 0);
        found.push(tags.length);
      }
      return found;
    });
    return counts;
  }

  it('are_one_in_forward_and_one_in_backward_in_the_steady_state', async () => {
    expect(
      await exchanges([
        [3, 2],
        [3, 2],
        [3, 2],
        [3, 2],
      ]),
    ).toEqual([3, 2, 2, 2]);
  });

  it('are_one_more_when_the_shape_of_any_rank_has_changed', async () => {
    expect(
      await exchanges([
        [3, 2],
        [3, 1],
        [3, 1],
        [2, 1],
        [0, 2],
        [0, 2],
      ]),
    ).toEqual([3, 3, 2, 3, 3, 2]);
  });

  it('are_two_in_forward_with_the_arithmetic_of_PyTorch', async () => {
    expect(
      await exchanges(
        [
          [3, 2],
          [3, 2],
          [2, 2],
        ],
        { numerics: 'torch' },
      ),
    ).toEqual([4, 3, 4]);
  });

  it('do_not_depend_on_the_number_of_devices_of_a_rank', async () => {
    const [counts] = await runRanks(2, async (group) => {
      const tags: string[] = [];
      const layer = new SynchronizedBatchNorm1d(2, { processGroup: counted(group, tags) });
      const deviceIds = ['cpu:0', 'cpu:1'];
      const net = group.rank === 0 ? new DataParallelWithCallBack(layer, { deviceIds }) : layer;
      await step(net, 4);
      tags.length = 0;
      await step(net, 4);
      return tags.length;
    });
    expect(counts).toBe(2);
  });

  it('are_none_in_evaluation_and_in_a_backward_after_it', async () => {
    const tags: string[] = [];
    const [group] = await createLocalGroups(2);
    const layer = new SynchronizedBatchNorm1d(2, { processGroup: group ? counted(group, tags) : null });
    await step(layer.eval(), 3);
    expect(tags).toEqual([]);
  });

  it('of_layers_that_are_called_at_once_are_told_apart', async () => {
    const means = await runRanks(2, async (processGroup) => {
      const layers = [0, 1].map(() => new SynchronizedBatchNorm1d(2, { processGroup, momentum: 1 }));
      // Rank 1 calls them in the other order.
      const inOrder = processGroup.rank === 0 ? layers : [...layers].reverse();
      await Promise.all(inOrder.map((layer) => layer.forward(batch(layer === layers[0] ? 2 : 5))));
      return Promise.all(layers.map(async ({ runningMean }) => [...((await runningMean?.data()) ?? [])]));
    });
    const wholes = [2, 5].map(async (samples) => {
      const whole = new BatchNorm1d(2, { momentum: 1 });
      const data = randomArray(samples, samples * 6);
      await whole.forward(tensor(Float32Array.of(...data, ...data), [2 * samples, 2, 3]));
      return [...((await whole.runningMean?.data()) ?? [])];
    });
    const expected = await Promise.all(wholes);
    expect(means).toEqual([expected, expected]);
  });
});

it('functional_merges_are_what_a_layer_merges', async () => {
  // The same partials, by the public functions: the seam adds nothing to them.
  const parts = [batch(2), batch(3)];
  const partials = await Promise.all(parts.map((x, i) => functional.moments(x, { firstSample: 2 * i })));
  const [statistics] = await runRanks(2, async (processGroup) => {
    const layer = new SynchronizedBatchNorm1d(2, { processGroup, momentum: 1 });
    await layer.forward(parts[processGroup.rank] ?? batch(1));
    return (await layer.runningMean?.data()) ?? new Float32Array();
  });
  const [mean, variance] = [tensor([0, 0]), tensor([0, 0])];
  await functional.updateRunning(await functional.mergeMoments(partials), mean, variance, 1);
  expect(statistics).toEqual(await mean.data());
});

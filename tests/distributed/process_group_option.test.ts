/** What layers take as their process group, and what it changes in them. */

import {
  BatchNorm1d,
  convertModel,
  DataParallel,
  ForwardInProgressError,
  init,
  noGrad,
  Sequential,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  tensor,
} from 'syncbn';
import { createLocalGroups, runRanks, type ProcessGroup } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { batch, loadLayer } from './layer_in_group.ts';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1', 'cpu:2']);
  // A forward locks its layer when it begins, not when what it needs has been loaded.
  await loadLayer();
});

describe('the option processGroup', () => {
  let processGroup: ProcessGroup | null = null;
  beforeAll(async () => {
    [processGroup = null] = await createLocalGroups(2);
  });

  it.each<[unknown, string]>([
    [7, 'expected an object with rank, size and allGather(), got a number'],
    [{}, 'expected an object with rank, size and allGather()'],
    [{ rank: 0, size: 2 }, 'expected an object with rank, size and allGather()'],
    [{ rank: 2, size: 2, allGather: () => Promise.resolve([]) }, 'got rank 2 and size 2'],
    [{ rank: 0.5, size: 2, allGather: () => Promise.resolve([]) }, 'got rank 0.5'],
    [Promise.resolve(null), 'got a promise (await it)'],
  ])('refuses_%o', (given, text) => {
    expect(() => new SynchronizedBatchNorm1d(2, { processGroup: given as ProcessGroup })).toThrow(text);
  });

  it('does_not_go_with_a_rank_that_goes_on_alone', () => {
    const make = (): unknown => new SynchronizedBatchNorm1d(2, { processGroup, onTimeout: 'local' });
    expect(make).toThrow("onTimeout: expected 'error' with a processGroup");
  });

  it('is_given_by_convertModel_and_taken_back', () => {
    const model = convertModel(new Sequential(new BatchNorm1d(2)), { processGroup });
    expect([...model.children()][0]).toMatchObject({ processGroup });
    expect('processGroup' in ([...convertModel.revert(model).children()][0] ?? {})).toBe(false);
  });

  it('is_refused_by_a_plain_DataParallel_for_others_would_wait', async () => {
    const layer = new SynchronizedBatchNorm1d(2, { processGroup });
    const net = new DataParallel(layer, { deviceIds: ['cpu:0', 'cpu:1'] });
    await expect(net.forward(batch(4))).rejects.toThrow('do not meet in a plain DataParallel');
  });

  it('makes_forwardSync_impossible_in_training', async () => {
    const layer = new SynchronizedBatchNorm2d(1, { processGroup });
    const x = tensor([1, 2], [2, 1, 1, 1]);
    expect(() => layer.forwardSync(x)).toThrow('synchronizes with other ranks and has to wait');
    expect(await layer.eval().forwardSync(x).data()).toHaveLength(2);
  });

  it('keeps_others_from_changing_the_layer_while_it_waits', async () => {
    const [a, b] = await createLocalGroups(2);
    const layers = [a, b].map((each) => new SynchronizedBatchNorm1d(2, { processGroup: each ?? null }));
    const waiting = layers[0]?.forward(batch(2));
    expect(() => layers[0]?.resetRunningStats()).toThrow(ForwardInProgressError);
    await Promise.all([waiting, layers[1]?.forward(batch(2))]);
    layers[0]?.resetRunningStats();
    expect(layers[0]?.numBatchesTracked).toBe(0);
  });

  it('synchronizes_without_gradients_too', async () => {
    const ys = await noGrad(() =>
      runRanks(2, async (each) => {
        const y = await new SynchronizedBatchNorm1d(2, { processGroup: each }).forward(batch(2));
        return { requiresGrad: y.requiresGrad, data: await y.data() };
      }),
    );
    expect(ys.map(({ requiresGrad }) => requiresGrad)).toEqual([false, false]);
  });
});

/** Synchronized layers of which one rank fails. */

import { DataParallelWithCallBack, devices, init, Sequential, SynchronizedBatchNorm1d, tensor } from 'syncbn';
import { createLocalGroups, PeerFailedError, runRanks } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { stateOf } from '../parallel/modules.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { batch } from './layer_in_group.ts';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1', 'cpu:2']);
});

describe('a rank that fails', () => {
  it('fails_all_others_at_once_with_its_reason', async () => {
    const failure = new Error('no more data');
    const others: unknown[] = [];
    const running = runRanks(3, async (processGroup) => {
      const layer = new SynchronizedBatchNorm1d(2, { processGroup });
      if (processGroup.rank === 1) throw failure;
      return layer.forward(batch(2)).catch((error: unknown) => {
        others.push(error);
        throw error;
      });
    });
    await expect(running).rejects.toBe(failure);
    expect(others).toEqual([expect.any(PeerFailedError), expect.any(PeerFailedError)]);
    expect(others[0]).toMatchObject({ rank: 1, cause: failure });
  });

  it('in_a_layer_tells_the_others_without_help', async () => {
    const [a, b] = await createLocalGroups(2);
    const layers = [a, b].map((group) => new SynchronizedBatchNorm1d(2, { processGroup: group ?? null }));
    const [first, second] = layers.map((layer, rank) =>
      layer.forward(rank === 0 ? batch(2) : tensor([1, 2, 3, 4, 5, 6], [2, 3])).catch((error: unknown) => error),
    );
    expect(await second).toBeInstanceOf(RangeError);
    expect(await first).toBeInstanceOf(PeerFailedError);
    // From then on nobody waits for that group any more.
    await expect(layers[0]?.forward(batch(2))).rejects.toThrow('rank 1 of the process group has failed');
  });

  it('in_one_of_its_replicas_tells_the_others', async () => {
    const seen: unknown[] = [];
    const running = runRanks(2, async (processGroup) => {
      const bn = new SynchronizedBatchNorm1d(2, { processGroup });
      const net = new DataParallelWithCallBack(bn, { deviceIds: ['cpu:0', 'cpu:1'], splitSizes: [1, 1] });
      if (processGroup.rank === 0) {
        return net.forward(batch(2)).catch((error: unknown) => void seen.push(error));
      }
      bn.onReplicate = () => {
        throw new Error('mine');
      };
      return net.forward(batch(2));
    });
    await expect(running).rejects.toThrow('mine');
    expect(String(seen[0])).toContain('rank 1 of the process group has failed');
  });

  it('leaves_state_and_memory_of_the_others_as_they_were', async () => {
    const [a, b] = await createLocalGroups(2);
    const layers = [a, b].map((group) => new SynchronizedBatchNorm1d(2, { processGroup: group ?? null }));
    const x = batch(3);
    await Promise.all(layers.map(async (layer) => (await layer.forward(x)).dispose()));
    const before = await stateOf(layers[0] ?? new Sequential());
    await collectGarbage();
    const { buffers } = devices.get('cpu').memoryUsage();
    const waiting = layers[0]?.forward(x);
    b?.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    await collectGarbage();
    expect(devices.get('cpu').memoryUsage().buffers).toBe(buffers);
    expect(await stateOf(layers[0] ?? new Sequential())).toEqual(before);
  });

  it('in_backward_fails_the_backward_of_the_others_and_changes_no_gradient', async () => {
    const [a, b] = await createLocalGroups(2);
    const layers = [a, b].map((group) => new SynchronizedBatchNorm1d(2, { processGroup: group ?? null }));
    const [y] = await Promise.all(layers.map((layer) => layer.forward(batch(2))));
    const backward = y?.backward(batch(2, false));
    b?.abort(new Error('gone'));
    await expect(backward).rejects.toThrow('gone');
    expect(layers[0]?.weight?.grad).toBeNull();
  });
});

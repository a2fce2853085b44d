import {
  BatchNorm1d,
  CollectiveMismatchError,
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  ForwardInProgressError,
  functional,
  init,
  noGrad,
  type ProcessGroup as LayerGroup,
  Sequential,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  type SynchronizedBatchNormOptions,
  tensor,
  type Tensor,
} from 'syncbn';
import { createLocalGroups, GroupTimeoutError, PeerFailedError, type ProcessGroup, runRanks } from 'syncbn/distributed';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { collectGarbage, settled } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { stateOf } from '../parallel/modules.ts';

beforeAll(async () => {
  await init(['cpu:0', 'cpu:1', 'cpu:2']);
  // What a synchronized layer loads is there when a test counts turns of the event loop.
  await runRanks(2, (processGroup) => step(new SynchronizedBatchNorm1d(2, { processGroup }), 2));
});
afterEach(() => void vi.useRealTimers());

/** A group that notes the tags of its exchanges. */
function counted(group: ProcessGroup, tags: string[]): LayerGroup {
  const { rank, size } = group;
  const allGather: LayerGroup['allGather'] = (bytes, tag) => {
    tags.push(tag);
    return group.allGather(bytes, tag);
  };
  return { rank, size, allGather, abort: (reason) => group.abort(reason) };
}

/** Resolves when so many exchanges have begun. */
async function begun(tags: readonly string[], count: number): Promise<void> {
  for (let turn = 0; turn < 1000 && tags.length < count; turn++) await settled();
  expect(tags).toHaveLength(count);
}

function batch(samples: number, requiresGrad = true): Tensor {
  return tensor(randomArray(samples, samples * 6), [samples, 2, 3], { requiresGrad });
}

/** A training step of `samples` samples. */
async function step(layer: { forward(x: Tensor): Promise<Tensor> }, samples: number): Promise<void> {
  const y = await layer.forward(batch(samples));
  await y.backward(batch(samples, false));
}

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

describe('a group that gives other bytes than a layer has sent', () => {
  /** Two ranks of which rank 0 gets what `change` makes of the bytes of rank 1 in exchanges of that name. */
  async function withChanged(step: string, change: (bytes: Uint8Array) => unknown): Promise<unknown> {
    const [error] = await runRanks(
      2,
      async (group) => {
        const allGather: LayerGroup['allGather'] = async (bytes, tag) => {
          const [own, other] = await group.allGather(bytes, tag);
          if (group.rank !== 0 || !tag.includes(step)) return [own, other] as Uint8Array[];
          return [own, change(other ?? bytes)] as Uint8Array[];
        };
        const { rank, size } = group;
        // Without abort(), so that rank 1 is not disturbed.
        const layer = new SynchronizedBatchNorm1d(2, { processGroup: { rank, size, allGather } });
        const y = await layer.forward(batch(3)).catch((error: unknown) => error);
        if (y instanceof Error) return y;
        return (y as Tensor).backward(batch(3, false)).then(
          () => null,
          (error: unknown) => error,
        );
      },
      { timeout: 1 },
    );
    return error;
  }

  const flipped = (at: number) => (bytes: Uint8Array) => bytes.map((byte, i) => (i === at ? byte ^ 255 : byte));

  it.each<[string, string, (bytes: Uint8Array) => unknown, string]>([
    ['nothing', 'forward', () => new Uint8Array(), 'other bytes from rank 1'],
    ['noise', 'forward', () => new Uint8Array(50).fill(77), 'other bytes from rank 1'],
    ['a header that is cut off', 'forward', (bytes) => bytes.subarray(0, 20), 'other bytes from rank 1'],
    ['no bytes', 'forward', () => 'x', 'one of each rank, got 1'],
    [
      'no partial',
      'forward, again',
      (bytes) => bytes.subarray(0, 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)),
      'others from rank 0',
    ],
    [
      'another kind of partial',
      'backward',
      (bytes) => bytes.map((byte, i) => (i === 4 ? 1 : byte)),
      'expected a partial of sums, got one of moments',
    ],
    ['the mark of something else', 'backward', flipped(0), 'mark of a partial'],
    ['other samples', 'backward', flipped(32), 'expected a partial of samples 3 to 5'],
    ['a partial of rank 0', 'backward', flipped(24), 'expected a partial of samples 3 to 5'],
    ['a partial that is cut off', 'backward', (bytes) => bytes.subarray(0, bytes.length - 3), 'partial'],
  ])('is_found_out: %s', async (_, step, change, text) => {
    const error = await withChanged(step, change);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toContain(text);
  });

  it('the_control_finds_nothing', async () => {
    expect(await withChanged('no step', () => new Uint8Array())).toBeNull();
  });

  it('other_views_of_the_same_bytes_are_taken', async () => {
    const shifted = (bytes: Uint8Array): Uint8Array => new Uint8Array([0, ...bytes]).subarray(1);
    expect(await withChanged('', shifted)).toBeNull();
  });
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

describe('createLocalGroups', () => {
  it('gives_the_bytes_of_all_in_order_of_ranks_as_they_were_at_the_call', async () => {
    const groups = await createLocalGroups(3);
    const gathers = groups.map((group) => {
      const bytes = Uint8Array.of(group.rank, 9);
      const gathered = group.allGather(bytes, 'x');
      bytes.fill(0);
      return gathered;
    });
    for (const all of await Promise.all(gathers)) {
      expect(all.map((bytes) => [...bytes])).toEqual([
        [0, 9],
        [1, 9],
        [2, 9],
      ]);
    }
  });

  it('matches_the_nth_exchange_of_a_tag_with_the_nth_of_the_others', async () => {
    const [a, b] = await createLocalGroups(2);
    const send = (group: ProcessGroup | undefined, value: number, tag: string): Promise<readonly Uint8Array[]> =>
      group?.allGather(Uint8Array.of(value), tag) ?? Promise.resolve([]);
    const own = [send(a, 1, 'x'), send(a, 2, 'x'), send(a, 3, 'y')];
    const other = [send(b, 6, 'y'), send(b, 4, 'x'), send(b, 5, 'x')];
    expect((await Promise.all(own)).map((all) => all.map(([value]) => value))).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
    await Promise.all(other);
  });

  it.each([0, -1, 1.5, Number.NaN, '2'])('refuses_%j_ranks', async (size) => {
    await expect(createLocalGroups(size as number)).rejects.toThrow('expected a positive number of ranks');
  });

  it.each([0, -1, Number.NaN, '2'])('refuses_%j_seconds', async (timeoutSeconds) => {
    const options = { timeout: timeoutSeconds as number };
    await expect(createLocalGroups(2, options)).rejects.toThrow('expected more than 0 seconds');
  });

  it('refuses_what_are_no_bytes_and_no_tag', async () => {
    const [group] = await createLocalGroups(1);
    await expect(group?.allGather('x' as never, 'tag')).rejects.toThrow('expected bytes as a Uint8Array, got a string');
    await expect(group?.allGather(Uint8Array.of(1), 1 as never)).rejects.toThrow('expected a tag, got a number');
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

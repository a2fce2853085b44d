import {
  BatchNorm1d,
  CollectiveMismatchError,
  convertModel,
  DataParallelWithCallBack,
  defineFunction,
  init,
  Module,
  Parameter,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import {
  DistributedDataParallel,
  type DistributedDataParallelOptions,
  PeerFailedError,
  type ProcessGroup,
  runRanks,
} from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomArray } from '../support/random.ts';

beforeAll(() => init(['cpu:0', 'cpu:1']));

/** `y = x · weight`, for x (N, C) and weight (C). */
const scale = defineFunction({
  name: 'scale',
  forward: async (context, x: Tensor, weight: Tensor) => {
    context.saveForBackward(x, weight);
    const factors = await weight.data();
    return tensor(
      (await x.data()).map((value, i) => value * (factors[i % factors.length] ?? 0)),
      x.shape,
    );
  },
  backward: async (context, dy) => {
    const [x, weight] = context.savedTensors;
    const [values = [], factors = [], gradient] = [await x?.data(), await weight?.data(), await dy.data()];
    const dweight = new Float32Array(factors.length);
    gradient.forEach(
      (value, i) => (dweight[i % factors.length] = (dweight[i % factors.length] ?? 0) + value * (values[i] ?? 0)),
    );
    return [
      tensor(
        gradient.map((value, i) => value * (factors[i % factors.length] ?? 0)),
        dy.shape,
      ),
      tensor(dweight),
    ];
  },
});

class Scale extends Module {
  readonly weight: Parameter;

  constructor(channels: number, value = 2) {
    super();
    this.weight = new Parameter(tensor(new Float32Array(channels).fill(value)));
  }

  async forward(x: Tensor): Promise<Tensor> {
    return scale(x, this.weight);
  }
}

/** Two ways, of which an input takes one. */
class Branches extends Module {
  readonly first = new Scale(2);
  readonly second = new Scale(2);
  readonly never = new Scale(2);

  async forward(x: Tensor, isFirst: boolean): Promise<Tensor> {
    return isFirst ? this.first.forward(x) : this.second.forward(x);
  }
}

/** Integers, whose sums f32 holds exactly. */
function integers(seed: number, count: number): Float32Array {
  return randomArray(seed, count, { scale: 4 }).map(Math.round);
}

async function step(model: { forward(x: Tensor): Promise<Tensor> }, values: Float32Array, channels = 2): Promise<void> {
  const x = tensor(values, [values.length / channels, channels]);
  const y = await model.forward(x);
  await y.backward(tensor(new Float32Array(values.length).fill(1), x.shape));
}

async function gradOf(parameter: Tensor | null | undefined): Promise<number[] | null> {
  return parameter?.grad ? [...(await parameter.grad.data())] : null;
}

function wrap<M extends Module>(
  net: M,
  processGroup: ProcessGroup,
  options: Partial<DistributedDataParallelOptions> = {},
): DistributedDataParallel<M> {
  return new DistributedDataParallel(net, { processGroup, ...options });
}

describe('DistributedDataParallel', () => {
  it('begins_with_the_parameters_and_statistics_of_rank_0', async () => {
    const states = await runRanks(3, async (group) => {
      const net = new Sequential(new Scale(2, group.rank + 1), new BatchNorm1d(2));
      await net.loadStateDict(
        { '1.running_mean': Float32Array.of(group.rank, 5), '1.num_batches_tracked': 2 ** 30 + group.rank + 1 },
        { strict: false },
      );
      await wrap(net, group).ready();
      const dict = net.stateDict();
      return Promise.all(
        Object.values(dict).map((value) =>
          typeof value === 'number' ? Promise.resolve(Float32Array.of(value - 2 ** 30)) : value.data(),
        ),
      );
    });
    expect(states[0]?.[0]).toEqual(Float32Array.of(1, 1));
    // More steps than f32 counts.
    expect(states[0]?.at(-1)).toEqual(Float32Array.of(1));
    expect(states[1]).toEqual(states[0]);
    expect(states[2]).toEqual(states[0]);
  });

  it.each(['sum', 'mean'] as const)('gives_all_ranks_the_%s_of_gradients', async (reduction) => {
    const shards = [1, 2, 3].map((seed) => integers(seed, 8));
    const found = await runRanks(3, async (group) => {
      const model = wrap(new Scale(2), group, { reduction });
      await step(model, shards[group.rank] ?? new Float32Array());
      return gradOf(model.module.weight);
    });
    const whole = new Scale(2);
    await step(whole, Float32Array.from(shards.flatMap((shard) => [...shard])));
    const expected = (await gradOf(whole.weight))?.map((value) =>
      reduction === 'mean' ? Math.fround(value / 3) : value,
    );
    expect(found).toEqual([expected, expected, expected]);
  });

  it.each(['sum', 'mean'] as const)('does_not_count_synchronized_layers_twice, %s', async (reduction) => {
    const values = integers(4, 24);
    const found = await runRanks(2, async (group) => {
      const net = convertModel(new Sequential(new BatchNorm1d(2), new Scale(2)), { processGroup: group });
      const model = wrap(net, group, { reduction });
      await step(model, values.slice(group.rank === 0 ? 0 : 10, group.rank === 0 ? 10 : 24));
      return Promise.all([...net.parameters()].map(gradOf));
    });
    const whole = new Sequential(new BatchNorm1d(2), new Scale(2));
    await step(whole, values);
    const expected = await Promise.all([...whole.parameters()].map(gradOf));
    for (const gradients of found) {
      for (const [i, gradient] of gradients.slice(0, 2).entries()) {
        const wanted = expected[i]?.map((value) => (reduction === 'mean' ? Math.fround(value / 2) : value)) ?? [];
        expectSameBits(gradient ?? [], wanted, `parameter ${i}`);
      }
    }
    expect(found[0]).toEqual(found[1]);
  });

  it('adds_up_the_gradients_of_a_layer_that_uses_its_running_statistics', async () => {
    const found = await runRanks(2, async (group) => {
      const net = convertModel(new Sequential(new BatchNorm1d(2)), { processGroup: group });
      const model = wrap(net, group, { reduction: 'sum' });
      net.eval();
      await step(model, Float32Array.of(1, 2));
      return Promise.all([...net.parameters()].map(gradOf));
    });
    expect(found[0]?.[1]).toEqual([2, 2]);
    expect(found[1]).toEqual(found[0]);
  });

  it('works_around_several_devices_of_a_rank', async () => {
    const values = integers(5, 32);
    const found = await runRanks(2, async (group) => {
      const bn = new SynchronizedBatchNorm1d(2, { processGroup: group });
      const model = wrap(new DataParallelWithCallBack(bn, { deviceIds: ['cpu:0', 'cpu:1'] }), group, {
        reduction: 'sum',
      });
      await step(model, values.slice(16 * group.rank, 16 * group.rank + 16));
      return [await gradOf(bn.weight), await gradOf(bn.bias)];
    });
    const whole = new BatchNorm1d(2);
    await step(whole, values);
    const expected = [await gradOf(whole.weight), await gradOf(whole.bias)];
    expect(found).toEqual([expected, expected]);
  });

  it.each([
    ['of_the_size_that_was_given', 2, { bucketCapMb: 17 / 2 ** 20 }, [2, 2, 1]],
    ['of_25_MiB_the_first_of_1', 125_000, {}, [2, 3]],
  ])('fills_buckets_with_neighbours, %s', async (_, channels, options, parameters) => {
    const [exchanges] = await runRanks(2, async (group) => {
      const tags: string[] = [];
      const net = new Sequential(...Array.from({ length: 5 }, () => new Scale(channels)));
      const model = wrap(net, group, options);
      await model.ready();
      const allReduce = group.allReduce.bind(group);
      Object.assign(group, {
        allReduce: (values: Float32Array, options: { tag: string }) => {
          tags.push(`${options.tag}: ${values.length}`);
          return allReduce(values, options);
        },
      });
      await step(model, new Float32Array(channels).fill(1), channels);
      return tags;
    });
    const expected = parameters.map((count, bucket) => `${bucket}: ${count * channels}`);
    expect(exchanges?.map((tag) => tag.replace(/.*gradients /, ''))).toEqual(expected);
  });

  it.each(['sum', 'mean'] as const)('gives_the_same_with_gradientAsBucketView, %s', async (reduction) => {
    const [plain, reused] = await Promise.all(
      [false, true].map((gradientAsBucketView) =>
        runRanks(2, async (group) => {
          const net = convertModel(new Sequential(new BatchNorm1d(2), new Scale(2)), { processGroup: group });
          const model = wrap(net, group, { reduction, gradientAsBucketView });
          const values = integers(8 + group.rank, 8);
          await model.noSync(() => step(model, values));
          await step(model, values);
          await step(model, values);
          return Promise.all([...net.parameters()].map(gradOf));
        }),
      ),
    );
    expect(reused).toEqual(plain);
  });

  it.each([false, true])('takes_the_memory_of_the_gradients_of_the_pass: %s', async (gradientAsBucketView) => {
    const found = await runRanks(2, async (group) => {
      let own: Tensor | null = null;
      const doubled = defineFunction({
        name: 'doubled',
        forward: async (context, weight: Tensor) => {
          context.saveForBackward();
          return tensor(
            (await weight.data()).map((value) => 2 * value),
            [1, 2],
          );
        },
        backward: async (_, dy) => {
          own = tensor(
            (await dy.data()).map((value) => 2 * value),
            [2],
          );
          return [own];
        },
      });
      const net = new Scale(2);
      net.forward = () => doubled(net.weight);
      const model = wrap(net, group, { reduction: 'sum', gradientAsBucketView });
      await step(model, Float32Array.of(1, 1));
      const kept = await (own as Tensor | null)?.data().catch(() => null);
      return [kept === null ? null : [...(kept ?? [])], await gradOf(net.weight)];
    });
    // Else what the pass has computed is freed, and the sums have memory of their own.
    const expected = [gradientAsBucketView ? [4, 4] : null, [4, 4]];
    expect(found).toEqual([expected, expected]);
  });

  it('names_parameters_that_no_rank_has_used_and_waits_for_none', async () => {
    const found = await runRanks(2, async (group) => {
      const model = wrap(new Branches(), group, { reduction: 'sum' });
      const y = await model.forward(tensor([1, 2], [1, 2]), group.rank === 0);
      await y.backward(tensor([1, 1], [1, 2]));
      const { first, second, never } = model.module;
      return [
        model.unusedParameters,
        await gradOf(first.weight),
        await gradOf(second.weight),
        await gradOf(never.weight),
      ];
    });
    const expected = [['never.weight'], [1, 2], [1, 2], null];
    expect(found).toEqual([expected, expected]);
  });

  it('exchanges_gradients_that_noSync_has_left_with_the_next_ones', async () => {
    const found = await runRanks(2, async (group) => {
      const model = wrap(new Scale(2), group, { reduction: 'sum' });
      const values = Float32Array.of(1 + group.rank, 10);
      await model.noSync(() => step(model, values));
      const local = await gradOf(model.module.weight);
      await step(model, values);
      const exchanged = await gradOf(model.module.weight);
      // What was exchanged is not exchanged again.
      await step(model, values);
      return [local, exchanged, await gradOf(model.module.weight)];
    });
    expect(found).toEqual(
      [0, 1].map((rank) => [
        [1 + rank, 10],
        [6, 40],
        [9, 60],
      ]),
    );
  });

  it('refuses_to_mix_local_gradients_with_exchanged_ones', async () => {
    const texts = await runRanks(1, async (group) => {
      const model = wrap(new Scale(2), group);
      await step(model, Float32Array.of(1, 1));
      return model.noSync(() => step(model, Float32Array.of(1, 1))).catch(String);
    });
    expect(texts[0]).toContain('call zeroGrad() before');
  });

  it('joins_ranks_with_different_numbers_of_batches', async () => {
    const found = await runRanks(3, async (group) => {
      const net = convertModel(new Sequential(new BatchNorm1d(2)), { processGroup: group });
      const model = wrap(net, group, { reduction: 'sum' });
      const batches = Array.from({ length: [3, 0, 1][group.rank] ?? 0 }, (_, i) => integers(10 * group.rank + i, 8));
      const sizes: number[] = [];
      for await (const batch of model.join(batches, () => new Float32Array())) {
        sizes.push(batch.length);
        await step(model, batch);
      }
      return [sizes, await gradOf([...net.parameters()][1])];
    });
    expect(found.map(([sizes]) => sizes)).toEqual([
      [8, 8, 8],
      [0, 0, 0],
      [8, 0, 0],
    ]);
    // One for each sample.
    expect(found.map(([, bias]) => bias)).toEqual([
      [16, 16],
      [16, 16],
      [16, 16],
    ]);
  });

  it('gives_all_ranks_the_statistics_of_rank_0_where_layers_are_not_synchronized', async () => {
    const means = await runRanks(2, async (group) => {
      const bn = new BatchNorm1d(2, { momentum: 1 });
      const model = wrap(bn, group);
      await step(model, Float32Array.of(...[1, 1, 3, 3].map((value) => value + 10 * group.rank)));
      const before = [...((await bn.runningMean?.data()) ?? [])];
      await step(model, Float32Array.of(0, 0, 2, 2));
      return before;
    });
    // Those of a step are each rank's own, until the next one begins.
    expect(means).toEqual([
      [2, 2],
      [12, 12],
    ]);
    const [first, second] = await runRanks(2, async (group) => {
      const bn = new BatchNorm1d(2, { momentum: 0.5 });
      const model = wrap(bn, group);
      await step(model, Float32Array.of(...[1, 1, 3, 3].map((value) => value + 10 * group.rank)));
      await step(model, Float32Array.of(0, 0, 2, 2));
      return [...((await bn.runningMean?.data()) ?? [])];
    });
    expect(second).toEqual(first);
  });

  it('refuses_ranks_with_different_models', async () => {
    const errors = await runRanks(2, (group) =>
      wrap(group.rank === 0 ? new Scale(2) : new Sequential(new Scale(2)), group)
        .ready()
        .catch((error: unknown) => error),
    );
    for (const error of errors) expect(error).toBeInstanceOf(CollectiveMismatchError);
    expect(String(errors[0])).toContain('weight of shape [2]');
    expect(String(errors[0])).toContain('0.weight of shape [2]');
  });

  it('tells_the_others_when_its_module_fails', async () => {
    const errors = await runRanks(2, async (group) => {
      const model = wrap(new Scale(2), group);
      if (group.rank === 0) model.module.forward = () => Promise.reject(new Error('mine'));
      return step(model, Float32Array.of(1, 1)).catch((error: unknown) => error);
    });
    expect(String(errors[0])).toContain('mine');
    expect(errors[1]).toBeInstanceOf(PeerFailedError);
  });

  it('leaves_gradients_as_they_were_when_the_exchange_fails', async () => {
    const [found] = await runRanks(2, async (group) => {
      const model = wrap(new Scale(2), group);
      await step(model, Float32Array.of(1, 1));
      const before = await gradOf(model.module.weight);
      const y = await model.forward(tensor([1, 1], [1, 2]));
      if (group.rank === 1) {
        group.abort(new Error('gone'));
        return [];
      }
      const error: unknown = await y.backward(tensor([1, 1], [1, 2])).catch((caught: unknown) => caught);
      return [String(error).includes('gone'), before, await gradOf(model.module.weight)];
    });
    expect(found?.[0]).toBe(true);
    expect(found?.[2]).toEqual(found?.[1]);
  });

  it.each<[string, object, string]>([
    ['bucketCapMb', { bucketCapMb: 0 }, 'more than 0 MiB'],
    ['reduction', { reduction: 'max' }, "expected reduction to be 'mean' or 'sum'"],
    ['processGroup', { processGroup: { rank: 0, size: 1 } }, 'expected processGroup to be a ProcessGroup'],
    ['option', { bucket_cap_mb: 3 }, 'did you mean bucketCapMb?'],
  ])('refuses_another_%s', async (_, options, text) => {
    await runRanks(1, (group) => {
      expect(() => wrap(new Scale(2), group, options)).toThrow(text);
    });
  });

  it('refuses_parameters_of_another_wrapper_until_it_releases_them', async () => {
    await runRanks(1, (group) => {
      const net = new Scale(2);
      const model = wrap(net, group);
      expect(() => wrap(net, group)).toThrow('belongs to one DistributedDataParallel');
      model.release();
      wrap(net, group).release();
    });
  });

  it('refuses_backwardSync', async () => {
    await runRanks(1, async (group) => {
      const bn = new BatchNorm1d(1);
      const y = await wrap(bn, group).forward(tensor([1, 2], [2, 1]));
      expect(() => y.backwardSync(tensor([1, 1], [2, 1]))).toThrow('await backward() instead');
      await y.backward(tensor([1, 1], [2, 1]));
    });
  });
});

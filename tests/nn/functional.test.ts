/** The steps on shards give the bits of the whole: what authors of other engines build on. */

import { BatchNorm1d, devices, functional, PartialError, tensor, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { randomArray } from '../support/random.ts';

const { mergeMoments, mergeSums } = functional;

describe.each(deviceKinds)('the steps of batch norm on %s', (kind) => {
  const names = deviceNames(kind, 4);
  const [device = '', other = ''] = names;

  describe.each(numericsOf(kind))('with %s numerics', (numerics) => {
    it.each([
      { sizes: [8], rest: [5, 7], memoryFormat: 'contiguous' },
      { sizes: [3, 1, 4], rest: [5, 7], memoryFormat: 'contiguous' },
      { sizes: [1, 0, 5, 2], rest: [5, 7], memoryFormat: 'channels_last' },
      { sizes: [13, 7, 1, 20], rest: [3], memoryFormat: 'contiguous' },
      { sizes: [33, 31], rest: [], memoryFormat: 'contiguous' },
      { sizes: [2, 2], rest: [1, 1], memoryFormat: 'channels_last' },
    ] as const)('give on shards of $sizes samples × $rest, $memoryFormat, the bits of batchNorm()', async (spec) => {
      const { sizes, rest, memoryFormat } = spec;
      const channels = 3;
      const perSample = channels * rest.reduce((product: number, size) => product * size, 1);
      const samples = sizes.reduce((sum: number, size) => sum + size, 0);
      const values = randomArray(1, samples * perSample, { offset: 10 });
      const gradient = randomArray(2, samples * perSample);
      const firsts = sizes.map((_, r) => sizes.slice(0, r).reduce((sum: number, size) => sum + size, 0));
      const shardsOf = (data: Float32Array): Tensor[] =>
        sizes.map((size, r) => {
          const part = data.slice((firsts[r] ?? 0) * perSample, ((firsts[r] ?? 0) + size) * perSample);
          return tensor(part, [size, channels, ...rest], { device: names[r] ?? '', memoryFormat });
        });
      const vector = (seed: number, where: string): Tensor =>
        tensor(randomArray(seed, channels), [channels], { device: where });
      const [weight, bias] = [vector(3, device), vector(4, device)];
      [weight, bias].forEach((parameter) => (parameter.requiresGrad = true));

      // The whole, on one device.
      const shape = [samples, channels, ...rest];
      const x = tensor(values, shape, { device, memoryFormat, requiresGrad: true });
      const [mean, variance] = [vector(5, device), vector(6, device)];
      const y = await functional.batchNorm(x, mean, variance, { weight, bias, training: true, numerics });
      await y.backward(tensor(gradient, shape, { device, memoryFormat }));

      // The same, shard by shard.
      const shards = shardsOf(values);
      const merged = await mergedMoments(shards, firsts, numerics);
      const [shardMean, shardVariance] = [vector(5, other), vector(6, other)];
      await functional.updateRunning(merged, shardMean, shardVariance);
      const statistics = await Promise.all(shards.map((shard) => functional.finalize(merged, shard)));
      const weights = await Promise.all(shards.map((shard) => weight.detach().to(shard.device)));
      const biases = await Promise.all(shards.map((shard) => bias.detach().to(shard.device)));
      const outputs = await Promise.all(
        shards.map((shard, r) =>
          functional.normalize(shard, at(statistics, r), { weight: at(weights, r), bias: at(biases, r), numerics }),
        ),
      );
      const dys = shardsOf(gradient);
      const sums = await mergeSums(
        await Promise.all(
          shards.map((shard, r) =>
            functional.backwardReduce(at(dys, r), shard, at(statistics, r), { firstSample: firsts[r] ?? 0 }),
          ),
        ),
        device,
      );
      const { dweight, dbias } = await functional.backwardParameters(sums, at(statistics, 0));
      const dxs = await Promise.all(
        shards.map((shard, r) =>
          functional.backwardInput(at(dys, r), shard, at(statistics, r), { weight: at(weights, r), sums }),
        ),
      );

      expectSameBits(await joined(outputs), await y.data(), 'y');
      expectSameBits(await shardMean.data(), await mean.data(), 'running_mean');
      expectSameBits(await shardVariance.data(), await variance.data(), 'running_var');
      expectSameBits(await joined(dxs), (await x.grad?.data()) ?? [], 'dx');
      expectSameBits(await dweight.data(), (await weight.grad?.data()) ?? [], 'dweight');
      expectSameBits(await dbias.data(), (await bias.grad?.data()) ?? [], 'dbias');
    });
  });

  it('merge partials in any grouping of neighbours', async () => {
    const shards = [1, 2, 3].map((seed) => tensor(randomArray(seed, 30), [5, 3, 2], { device }));
    const [a, b, c] = await Promise.all(shards.map((x, r) => functional.moments(x, { firstSample: 5 * r })));
    if (a === undefined || b === undefined || c === undefined) {
      throw new Error('expected three partials');
    }
    const left = await mergeMoments([await mergeMoments([a, b], device), c], device);
    const right = await mergeMoments([a, await mergeMoments([b, c], device)], other);
    expect(left).toEqual(right);
    expect(left).toEqual(await mergeMoments([a, b, c], device));
  });

  it('write over what is donated, and nothing else', async () => {
    const fresh = await freshDevice(kind);
    // What a command on a GPU takes for itself while it runs is less than a batch.
    const room = kind === 'webgpu' ? 1024 : 0;
    const shape = [4, 3, 128];
    const batch = (seed: number): Tensor => tensor(randomArray(seed, 4 * 3 * 128), shape, { device: fresh });
    const buffers = (): number => devices.get(fresh).memoryUsage().buffers;
    const [x, dy] = [batch(1), batch(2)];
    const statistics = await functional.finalize(await functional.moments(x), x);
    const before = buffers();
    const y = await functional.normalize(x, statistics);
    const dx = await functional.backwardInput(dy, x, statistics);
    expect(buffers()).toBe(before + 2);
    // No room for another batch.
    devices.get(fresh).memoryLimit = devices.get(fresh).memoryUsage().bytesInUse + room;
    const dxOverDy = await functional.backwardInput(dy.donate(), x, statistics);
    const yOverX = await functional.normalize(x.donate(), statistics);
    expect(buffers()).toBe(before + 2);
    expect([x.isDisposed, dy.isDisposed]).toEqual([true, true]);
    expectSameBits(await dxOverDy.data(), await dx.data());
    expectSameBits(await yOverX.data(), await y.data());
  });

  it('take a dy of another memory format than x', async () => {
    const x = tensor(randomArray(1, 24), [4, 3, 2], { device, memoryFormat: 'channels_last' });
    const statistics = await functional.finalize(await functional.moments(x), x);
    const dy = (memoryFormat: 'contiguous' | 'channels_last'): Tensor =>
      tensor(randomArray(2, 24), [4, 3, 2], { device, memoryFormat });
    const sums = await functional.backwardReduce(dy('contiguous'), x, statistics);
    expect(sums).toEqual(await functional.backwardReduce(dy('channels_last'), x, statistics));
    const dx = await functional.backwardInput(dy('contiguous'), x, statistics, { sums });
    expect(dx.memoryFormat).toBe('channels_last');
    expectSameBits(
      await dx.data(),
      await (await functional.backwardInput(dy('channels_last'), x, statistics, { sums })).data(),
    );
  });

  describe('refuse', () => {
    const x = tensor(randomArray(1, 24), [4, 3, 2], { device });
    const statistics = functional.moments(x).then((merged) => functional.finalize(merged, x));

    it.each<[string, () => Promise<unknown>, string]>([
      [
        'a batch of rank 1',
        () => functional.moments(tensor([1, 2], [2], { device })),
        'expected a batch of shape (N, C, …), got [2]',
      ],
      [
        'a fraction of a sample',
        () => functional.moments(x, { firstSample: 0.5 }),
        'firstSample: expected a non-negative integer, got 0.5',
      ],
      [
        'a dy of another shape',
        async () => functional.backwardReduce(tensor([1, 2, 3], [1, 3], { device }), x, await statistics),
        'expected dy of the shape [4, 3, 2] of x, got [1, 3]',
      ],
      [
        'statistics of another number of channels',
        () => functional.normalize(x, tensor([1, 2, 3], [3, 1], { device })),
        'expected statistics of shape [4, 3], got [3, 1]',
      ],
      [
        'a weight of another length',
        async () => functional.normalize(x, await statistics, { weight: tensor([1], [1], { device }) }),
        'weight should contain 3 elements not 1',
      ],
      [
        'tensors of two devices',
        async () => functional.normalize(await x.to(other), await statistics),
        'expected all tensors to be on the same device',
      ],
      [
        'an eps of 0',
        async () => functional.finalize(await functional.moments(x), x, { eps: 0 }),
        'eps must be positive',
      ],
      [
        'one tensor for both running statistics',
        async () => {
          const both = tensor([1, 2, 3], [3], { device });
          return functional.updateRunning(await functional.moments(x), both, both);
        },
        'functional.updateRunning(): expected two tensors as running_mean and running_var, got one tensor twice',
      ],
      [
        'one tensor for both in batchNorm()',
        async () => {
          const both = tensor([1, 2, 3], [3], { device });
          return functional.batchNorm(x, both, both, { training: true });
        },
        'functional.batchNorm(): expected two tensors as running_mean and running_var, got one tensor twice',
      ],
      [
        'tensors of a state dict for running statistics',
        async () => {
          const dict = new BatchNorm1d(3, { device }).stateDict();
          const [mean, variance] = [dict['running_mean'], dict['running_var']] as [Tensor, Tensor];
          return functional.updateRunning(await functional.moments(x), mean, variance);
        },
        'functional.updateRunning(): expected a tensor that may be written to, got one of a state dict',
      ],
      [
        'null for a batch',
        () => functional.moments(null as unknown as Tensor),
        'functional.moments(): expected x to be a Tensor, got null',
      ],
      [
        'null for one tensor among others',
        async () => functional.normalize(null as unknown as Tensor, await statistics),
        'functional.normalize(): expected x to be a Tensor, got null',
      ],
      [
        'null for statistics',
        () => functional.backwardReduce(x, x, null as unknown as Tensor),
        'functional.backwardReduce(): expected statistics to be a Tensor, got null',
      ],
      [
        'an array for a weight',
        async () => functional.normalize(x, await statistics, { weight: [1, 2, 3] as never }),
        'functional.normalize(): expected weight to be a Tensor, got an array',
      ],
      [
        'numerics that are none',
        async () => functional.normalize(x, await statistics, { numerics: 'exact' as 'torch' }),
        "expected numerics to be 'stable' or 'torch'",
      ],
    ])('%s', async (_, attempt, text) => {
      await expect(attempt()).rejects.toThrow(text);
    });

    it.each<[string, () => Promise<unknown>]>([
      ['a string for a partial', () => mergeMoments(['x' as unknown as Uint8Array])],
      ['bytes that are no partial', () => mergeMoments([new Uint8Array(100)])],
      [
        'a hole in an array of partials',
        // eslint-disable-next-line no-sparse-arrays -- the hole is the case
        async () => mergeMoments([await functional.moments(x), ,] as never),
      ],
      [
        'partials of two kinds',
        async () =>
          mergeMoments([
            await functional.moments(x),
            await functional.backwardReduce(x, x, await statistics, { firstSample: 4 }),
          ]),
      ],
      [
        'partials that are not neighbours',
        async () => mergeMoments([await functional.moments(x), await functional.moments(x, { firstSample: 5 })]),
      ],
      ['bytes that are none, merged on the device', () => mergeMoments([new Uint8Array(7)], device)],
      [
        'partials that are not neighbours, merged on the device',
        async () =>
          mergeMoments([await functional.moments(x), await functional.moments(x, { firstSample: 5 })], device),
      ],
      [
        'moments and sums, merged on the device',
        async () =>
          mergeMoments(
            [
              await functional.moments(x),
              await functional.backwardReduce(x, x, await statistics, { firstSample: x.shape[0] ?? 0 }),
            ],
            device,
          ),
      ],
      [
        'sums where moments belong',
        async () => functional.finalize(await functional.backwardReduce(x, x, await statistics), x),
      ],
    ])('%s', async (_, attempt) => {
      const error: unknown = await attempt().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(PartialError);
    });
  });

  describe('refuse five channels where everything else has three', () => {
    const batch = (channels: number): Tensor => tensor(randomArray(1, 8 * channels), [4, channels, 2], { device });
    const filled = (...shape: number[]): Tensor =>
      tensor(new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(1), shape, { device });
    const momentsOf = (channels: number): Promise<Uint8Array> => functional.moments(batch(channels));
    const sumsOf = (channels: number): Promise<Uint8Array> =>
      functional.backwardReduce(batch(channels), batch(channels), filled(4, channels));
    const totalOf = (channels: number): Promise<Uint8Array> =>
      functional.total(tensor(new Float32Array(2 * channels), [2, channels]));
    const { finalize, normalize, updateRunning, backwardReduce, backwardParameters, backwardInput, batchNorm } =
      functional;

    /** Each argument that has a channel count, by itself. */
    it.each<[string, () => Promise<unknown>]>([
      ['finalize: merged', async () => finalize(await momentsOf(5), batch(3))],
      ['finalize: x', async () => finalize(await momentsOf(3), batch(5))],
      ['updateRunning: merged', async () => updateRunning(await momentsOf(5), filled(3), filled(3))],
      ['updateRunning: running_mean', async () => updateRunning(await momentsOf(3), filled(5), filled(3))],
      ['updateRunning: running_var', async () => updateRunning(await momentsOf(3), filled(3), filled(5))],
      ['updateRunning: rank', async () => updateRunning(await momentsOf(3), filled(3, 1), filled(3, 1))],
      ['normalize: x', () => normalize(batch(5), filled(4, 3))],
      ['normalize: statistics', () => normalize(batch(3), filled(4, 5))],
      ['normalize: weight', () => normalize(batch(3), filled(4, 3), { weight: filled(5) })],
      ['normalize: bias', () => normalize(batch(3), filled(4, 3), { bias: filled(5) })],
      ['backwardReduce: dy', () => backwardReduce(batch(5), batch(3), filled(4, 3))],
      ['backwardReduce: x', () => backwardReduce(batch(3), batch(5), filled(4, 3))],
      ['backwardReduce: statistics', () => backwardReduce(batch(3), batch(3), filled(4, 5))],
      ['backwardParameters: sums', async () => backwardParameters(await sumsOf(5), filled(4, 3))],
      ['backwardParameters: statistics', async () => backwardParameters(await sumsOf(3), filled(4, 5))],
      ['backwardInput: dy', () => backwardInput(batch(5), batch(3), filled(4, 3))],
      ['backwardInput: statistics', () => backwardInput(batch(3), batch(3), filled(4, 5))],
      ['backwardInput: weight', () => backwardInput(batch(3), batch(3), filled(4, 3), { weight: filled(5) })],
      ['backwardInput: sums', async () => backwardInput(batch(3), batch(3), filled(4, 3), { sums: await sumsOf(5) })],
      ['mergeMoments', async () => mergeMoments([await momentsOf(3), await momentsOf(5)], device)],
      ['deviations: merged', async () => functional.deviations(tensor(new Float32Array(6), [2, 3]), await totalOf(5))],
      ['batchNorm: running_mean', () => batchNorm(batch(3), filled(5), filled(3), { training: true })],
      ['batchNorm: running_var', () => batchNorm(batch(3), filled(3), filled(5), { training: true })],
      ['batchNorm: weight', () => batchNorm(batch(3), null, null, { training: true, weight: filled(5) })],
      ['batchNorm: bias', () => batchNorm(batch(3), null, null, { training: true, bias: filled(5) })],
    ])('%s', async (_, attempt) => {
      const error: unknown = await attempt().catch((reason: unknown) => reason);
      expect([RangeError, PartialError].some((type) => error instanceof type)).toBe(true);
    });

    it('and leave the running statistics alone', async () => {
      const [mean, variance] = [filled(3), filled(3)];
      await expect(updateRunning(await momentsOf(5), mean, variance)).rejects.toThrow(
        'expected a partial of 3 channels, as the tensors have, got one of 5',
      );
      expect([[...(await mean.data())], [...(await variance.data())]]).toEqual([
        [1, 1, 1],
        [1, 1, 1],
      ]);
    });
  });

  async function mergedMoments(
    shards: Tensor[],
    firsts: readonly number[],
    numerics: 'stable' | 'torch',
  ): Promise<Uint8Array> {
    const options = firsts.map((firstSample) => ({ firstSample }));
    if (numerics === 'stable') {
      return mergeMoments(await Promise.all(shards.map((x, r) => functional.moments(x, options[r]))), device);
    }
    const total = await mergeMoments(await Promise.all(shards.map((x, r) => functional.total(x, options[r]))));
    return mergeMoments(await Promise.all(shards.map((x, r) => functional.deviations(x, total, options[r]))));
  }
});

/** Logical data of shards along the batch, end to end. */
async function joined(shards: readonly Tensor[]): Promise<number[]> {
  const parts = await Promise.all(shards.map((shard) => shard.data()));
  return parts.flatMap((part) => [...part]);
}

function at<T>(items: readonly T[], i: number): T {
  const item = items[i];
  if (item === undefined) {
    throw new RangeError(`expected an item ${i}, got ${items.length} items`);
  }
  return item;
}

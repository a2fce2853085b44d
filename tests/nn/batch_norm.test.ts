/** What the layers do, without stored numbers: PyTorch's `test_nn` where a law or the f64 reference tells the answer. */

import { BatchNorm1d, BatchNorm2d, BatchNorm3d, functional, noGrad, tensor, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { elementCount } from '../../ts/tensor/shape.ts';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { randomArray } from '../support/random.ts';
import { randomBatch, valuesOf, withRandomParameters } from '../support/random_batch.ts';
import { referenceBackward, referenceForward } from '../support/reference.ts';
import { againstExact, expectWithin } from '../support/tolerances.ts';

const layers = { 2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d } as const;

type Rank = keyof typeof layers;

describe.each(deviceKinds)('a batch norm layer on %s', (kind) => {
  const [device = ''] = deviceNames(kind, 1);

  function batch(shape: readonly number[], seed = 1, requiresGrad = false): Tensor {
    return randomBatch(device, shape, seed, requiresGrad);
  }

  describe.each([
    { shape: [4, 10] },
    { shape: [4, 5, 3] },
    { shape: [2, 3, 6, 6] },
    { shape: [2, 3, 4, 4, 4] },
    { shape: [3, 2, 1] },
    { shape: [1, 17, 100] },
  ])('for $shape', ({ shape }) => {
    const Layer = layers[shape.length as Rank];
    const channels = shape[1] ?? 0;

    it.each([true, false])('gives the f64 reference and its gradients, training: %s', async (training) => {
      const bn = (await withRandomParameters(new Layer(channels, { device }))).train(training);
      const x = batch(shape, 1, true);
      const dy = randomArray(3, elementCount(shape));
      const reference = {
        weight: await valuesOf(bn.weight),
        bias: await valuesOf(bn.bias),
        runningMean: await valuesOf(bn.runningMean),
        runningVar: await valuesOf(bn.runningVar),
        eps: bn.eps,
        momentum: 0.1,
        batchStatistics: training,
      };
      const forward = referenceForward(await x.data(), shape, reference);
      const backward = referenceBackward(await x.data(), dy, shape, reference, forward);
      const y = await bn.forward(x);
      await y.backward(tensor(dy, shape, { device }));
      const table = againstExact(kind);
      expectWithin(table, 'output', await y.data(), forward.y, 'y');
      expectWithin(table, 'running', await valuesOf(bn.runningMean), forward.runningMean ?? [], 'running_mean', {
        terms: forward.runningMeanTerm,
      });
      expectWithin(table, 'running', await valuesOf(bn.runningVar), forward.runningVar ?? [], 'running_var', {
        terms: forward.runningVarTerm,
      });
      expectWithin(table, 'gradient', await valuesOf(x.grad), backward.dx, 'dx');
      expectWithin(table, 'gradient', await valuesOf(bn.weight?.grad), backward.dweight, 'dweight');
      expectWithin(table, 'gradient', await valuesOf(bn.bias?.grad), backward.dbias, 'dbias');
    });

    it('with weight 1 and bias 0 is the layer without them', async () => {
      const x = batch(shape);
      const affine = await new Layer(channels, { device }).forward(x);
      const plain = await new Layer(channels, { device, affine: false }).forward(x);
      expectSameBits(await affine.data(), await plain.data());
    });
  });

  it('counts batches and updates its statistics in training only', async () => {
    const bn = new BatchNorm1d(3, { device });
    const x = batch([4, 3]);
    await bn.forward(x);
    await bn.forward(x);
    expect(bn.numBatchesTracked).toBe(2);
    const mean = await valuesOf(bn.runningMean);
    bn.eval();
    const [first, second] = [await bn.forward(x), await bn.forward(x)];
    expect(bn.numBatchesTracked).toBe(2);
    expectSameBits(await valuesOf(bn.runningMean), mean);
    expectSameBits(await first.data(), await second.data());
  });

  it('with momentum null averages all batches', async () => {
    const bn = new BatchNorm1d(2, { device, momentum: null });
    await bn.forward(tensor([1, 10, 3, 30], [2, 2], { device }));
    expectSameBits(await valuesOf(bn.runningMean), [2, 20]);
    expectSameBits(await valuesOf(bn.runningVar), [2, 200]);
    await bn.forward(tensor([3, 30, 5, 50], [2, 2], { device }));
    expectSameBits(await valuesOf(bn.runningMean), [3, 30]);
    expectSameBits(await valuesOf(bn.runningVar), [2, 200]);
  });

  it('with momentum null and a counter taken away leaves its statistics alone', async () => {
    const bn = new BatchNorm1d(2, { device, momentum: null });
    bn.numBatchesTracked = null;
    await bn.forward(batch([4, 2]));
    expectSameBits(await valuesOf(bn.runningMean), [0, 0]);
  });

  it('that tracks nothing uses the statistics of the batch in evaluation too', async () => {
    const bn = new BatchNorm1d(3, { device, trackRunningStats: false });
    expect([bn.runningMean, bn.runningVar, bn.numBatchesTracked]).toEqual([null, null, null]);
    const x = batch([4, 3]);
    const trained = await bn.forward(x);
    const evaluated = await bn.eval().forward(x);
    expectSameBits(await evaluated.data(), await trained.data());
  });

  it('that tracks no longer keeps its buffers: training leaves them alone, evaluation uses them', async () => {
    const bn = new BatchNorm1d(3, { device });
    const x = batch([4, 3]);
    await bn.forward(x);
    const mean = await valuesOf(bn.runningMean);
    const expected = await valuesOf(await bn.eval().forward(x));
    bn.train().trackRunningStats = false;
    await bn.forward(batch([4, 3], 9));
    expect(bn.numBatchesTracked).toBe(1);
    expectSameBits(await valuesOf(bn.runningMean), mean);
    expectSameBits(await valuesOf(await bn.eval().forward(x)), expected);
  });

  it.each(numericsOf(kind))('takes an empty batch, which counts and changes nothing else: %s', async (numerics) => {
    const bn = new BatchNorm2d(3, { device, numerics });
    const x = batch([0, 3, 2, 2], 1, true);
    const y = await bn.forward(x);
    expect(y.shape).toEqual([0, 3, 2, 2]);
    await y.backward(batch([0, 3, 2, 2]));
    expect(bn.numBatchesTracked).toBe(1);
    expectSameBits(await valuesOf(bn.runningMean), [0, 0, 0]);
    expectSameBits(await valuesOf(bn.runningVar), [1, 1, 1]);
    expectSameBits(await valuesOf(bn.weight?.grad), [0, 0, 0]);
    expectSameBits(await valuesOf(bn.bias?.grad), [0, 0, 0]);
    expect(x.grad?.shape).toEqual([0, 3, 2, 2]);
    expect((await bn.eval().forward(x)).shape).toEqual([0, 3, 2, 2]);
  });

  describe.each(numericsOf(kind))('with %s numerics', (numerics) => {
    it.each([
      { shape: [4, 8, 10, 10] },
      { shape: [4, 1, 9, 9] },
      { shape: [4, 9, 1, 1] },
      { shape: [4, 8, 2, 10, 10] },
      { shape: [4, 1, 2, 9, 9] },
      { shape: [4, 9, 1, 1, 1] },
    ])('gives channels-last $shape what it gives contiguous, and keeps the format', async ({ shape }) => {
      const Layer = layers[shape.length as Rank];
      const run = async (memoryFormat: 'contiguous' | 'channels_last'): Promise<Float32Array[]> => {
        const bn = await withRandomParameters(new Layer(shape[1] ?? 0, { device, numerics }));
        const x = tensor(randomArray(5, elementCount(shape), { offset: 2 }), shape, {
          device,
          memoryFormat,
          requiresGrad: true,
        });
        const y = await bn.forward(x);
        await y.backward(tensor(randomArray(6, elementCount(shape)), shape, { device, memoryFormat }));
        expect([y.memoryFormat, x.grad?.memoryFormat]).toEqual([memoryFormat, memoryFormat]);
        return Promise.all([y, bn.runningMean, bn.runningVar, x.grad, bn.weight?.grad, bn.bias?.grad].map(valuesOf));
      };
      const [contiguous, channelsLast] = [await run('contiguous'), await run('channels_last')];
      const quantities = ['output', 'running', 'running', 'gradient', 'gradient', 'gradient'] as const;
      for (const [i, quantity] of quantities.entries()) {
        const known = { pytorchError: 0, terms: channelsLast[i] ?? [] };
        expectWithin(againstExact(kind), quantity, contiguous[i] ?? [], channelsLast[i] ?? [], `result ${i}`, known);
      }
    });
  });

  it.each([
    ['contiguous', 'channels_last'],
    ['channels_last', 'contiguous'],
  ] as const)('takes a dy that is %s for an x that is %s', async (dyFormat, xFormat) => {
    const shape = [2, 3, 5, 4];
    const gradients = async (format: typeof dyFormat): Promise<Float32Array> => {
      const x = tensor(randomArray(1, 120), shape, { device, memoryFormat: xFormat, requiresGrad: true });
      const dy = tensor(randomArray(2, 120), shape, { device, memoryFormat: format });
      const given = await dy.data();
      await (await new BatchNorm2d(3, { device }).forward(x)).backward(dy);
      expectSameBits(await dy.data(), given);
      expect(x.grad?.memoryFormat).toBe(xFormat);
      return valuesOf(x.grad);
    };
    expectSameBits(await gradients(dyFormat), await gradients(xFormat));
  });

  it.each([
    { needs: [true, false, false] },
    { needs: [false, true, false] },
    { needs: [false, false, true] },
    { needs: [false, true, true] },
    { needs: [true, true, false] },
  ])('computes the gradients wanted and no others, the same as all together: $needs', async ({ needs }) => {
    const [needsX = false, needsWeight = false, needsBias = false] = needs;
    const gradients = async (wanted: readonly boolean[]): Promise<(Tensor | null | undefined)[]> => {
      const bn = await withRandomParameters(new BatchNorm2d(3, { device }));
      const x = batch([2, 3, 4, 4]);
      [x, bn.weight, bn.bias].forEach((item, i) => item && (item.requiresGrad = wanted[i] === true));
      await (await bn.forward(x)).backward(batch([2, 3, 4, 4], 7));
      return [x.grad, bn.weight?.grad, bn.bias?.grad];
    };
    const all = await gradients([true, true, true]);
    const some = await gradients([needsX, needsWeight, needsBias]);
    for (const [i, isNeeded] of needs.entries()) {
      expect(some[i] !== null).toBe(isNeeded);
      if (isNeeded) {
        expectSameBits(await valuesOf(some[i]), await valuesOf(all[i]));
      }
    }
  });

  it('records nothing when nothing requires a gradient, or under noGrad()', async () => {
    const bn = new BatchNorm1d(3, { device });
    const quiet = await noGrad(() => bn.forward(batch([4, 3], 1, true)));
    expect([quiet.requiresGrad, quiet.isLeaf]).toEqual([false, true]);
    bn.requiresGrad_(false);
    expect((await bn.forward(batch([4, 3]))).requiresGrad).toBe(false);
    expect((await bn.forward(batch([4, 3], 1, true))).requiresGrad).toBe(true);
  });

  it('uses the weight of the forward pass in the backward pass', async () => {
    const run = async (changes: boolean): Promise<Float32Array> => {
      const bn = await withRandomParameters(new BatchNorm1d(3, { device }));
      const x = batch([4, 3], 1, true);
      const y = await bn.forward(x);
      if (changes) {
        await bn.weight?.copy_(Float32Array.of(100, 100, 100));
        await bn.forward(batch([4, 3], 8));
      }
      await y.backward(batch([4, 3], 9));
      return valuesOf(x.grad);
    };
    expectSameBits(await run(true), await run(false));
  });

  it('is functional.batchNorm() with its own state', async () => {
    const bn = await withRandomParameters(new BatchNorm2d(3, { device }));
    const { weight, bias } = bn;
    const [mean, variance] = [tensor([0, 0, 0], [3], { device }), tensor([1, 1, 1], [3], { device })];
    const x = batch([2, 3, 4, 4]);
    const trained = await functional.batchNorm(x, mean, variance, { weight, bias, training: true });
    expectSameBits(await trained.data(), await valuesOf(await bn.forward(x)));
    expectSameBits(await mean.data(), await valuesOf(bn.runningMean));
    expectSameBits(await variance.data(), await valuesOf(bn.runningVar));
    const evaluated = await functional.batchNorm(x, mean, variance, { weight, bias });
    expectSameBits(await evaluated.data(), await valuesOf(await bn.eval().forward(x)));
  });
});

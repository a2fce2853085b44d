/** Random models train as plain TensorFlow.js on one device: branches, shared and nested layers, every option of batch norm. */

import * as tf from '@tensorflow/tfjs-core';
import { input, layers, type LayersModel, model, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { convertModel, DataParallel } from 'syncbn';
import { fromLayersModel, trainOnBatch } from 'syncbn/tfjs';
import { expectSameBits } from '../support/bits.ts';
import { randomArray, randomUniform } from '../support/random.ts';
import { largestDifference } from '../support/tolerances.ts';
import { useBackend } from './backends.ts';
import { inputsFor, twins } from './models.ts';
import { type Norm, plainBatchNorm, referenceBatchNorm } from './reference_batch_norm.ts';

beforeAll(() => useBackend('cpu'));

/** Draws from a sequence that is the same for every model made of a seed. */
class Draws {
  readonly #seed: number;
  #index = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  below(count: number): number {
    this.#index += 1;
    return Math.floor(randomUniform(this.#seed, this.#index) * count);
  }

  isTrue(): boolean {
    return this.below(2) === 1;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

const call = (layer: layers.Layer, ...xs: SymbolicTensor[]): SymbolicTensor => layer.apply(xs) as SymbolicTensor;

/** A batch norm with options of all kinds, for values of some rank. */
function randomNorm(draws: Draws, norm: Norm, rank: number): layers.Layer {
  return norm({
    axis: draws.isTrue() ? -1 : 1 + draws.below(rank - 1),
    ...{ momentum: draws.of([0.5, 0.9, 0.99]), epsilon: draws.of([1e-3, 1e-2]) },
    ...{ scale: draws.below(3) > 0, center: draws.below(3) > 0, trainable: draws.below(6) > 0 },
  });
}

/** A layer that keeps the shape (H, W, 4) or (4) of its input. */
function randomLayer(draws: Draws, norm: Norm, rank: number): layers.Layer {
  const kernelRegularizer = draws.below(4) === 0 ? 'l1l2' : undefined;
  const trainable = draws.below(6) > 0;
  const common = { trainable, useBias: draws.isTrue(), activation: draws.of(['tanh', 'sigmoid', 'linear'] as const) };
  switch (draws.below(rank === 4 ? 5 : 3)) {
    case 0:
      return layers.dense({ units: 4, ...common, ...(kernelRegularizer && { kernelRegularizer }) });
    case 1:
      return layers.activation({ activation: draws.of(['tanh', 'softplus'] as const) });
    case 2:
      return randomNorm(draws, norm, rank);
    case 3:
      return layers.conv2d({ filters: 4, kernelSize: draws.of([1, 2, 3]), padding: 'same', ...common });
    default:
      return layers.depthwiseConv2d({ kernelSize: 2, padding: 'same', ...common });
  }
}

/** Layers in a graph: each takes one or two of the values that are there; some are shared, some are models. */
function randomGraph(draws: Draws, norm: Norm, inputs: SymbolicTensor[], depth: number): SymbolicTensor[] {
  const values = [...inputs];
  const used: layers.Layer[] = [];
  const rank = inputs[0]?.shape.length ?? 2;
  for (let step = 0; step < 3 + draws.below(5); step += 1) {
    const x = draws.of(values);
    const choice = draws.below(8);
    if (choice === 0 && values.length > 1) {
      values.push(
        call(draws.of<layers.Layer>([layers.add(), layers.multiply(), layers.average()]), x, draws.of(values)),
      );
    } else if (choice === 1 && used.length > 0) {
      values.push(call(draws.of(used), x));
    } else if (choice === 2 && depth > 0) {
      const own = input({ shape: x.shape.slice(1) });
      const inner = model({
        inputs: own,
        outputs: lastOf(randomGraph(draws, norm, [own], depth - 1)),
      });
      used.push(inner);
      values.push(call(inner, x));
    } else {
      const layer = randomLayer(draws, norm, rank);
      used.push(layer);
      values.push(call(layer, x));
    }
  }
  return values;
}

function lastOf(values: readonly SymbolicTensor[]): SymbolicTensor {
  const last = values.at(-1);
  if (last === undefined) throw new Error('expected a value');
  return last;
}

function randomModel(seed: number, norm: Norm): LayersModel {
  const draws = new Draws(seed);
  const shape = draws.isTrue() ? [3, 3, 4] : [4];
  const inputs = Array.from({ length: 1 + draws.below(2) }, () => input({ shape }));
  const values = randomGraph(draws, norm, inputs, 2);
  // A batch norm and something to train at least, and all inputs in the result.
  const sum = inputs.reduce((total, one) => call(layers.add(), total, one), lastOf(values));
  const last = call(layers.dense({ units: 3 }), call(randomNorm(draws, norm, sum.shape.length), sum));
  const inside = draws.of(values.slice(inputs.length));
  return model({ inputs, outputs: draws.isTrue() ? [last, inside] : last });
}

const weightsOf = (of: LayersModel): Float32Array[] =>
  of.weights.map((one) => one.read().dataSync().slice() as Float32Array);

/** The largest difference, of the largest value of all. */
function difference(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  expect(actual.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  const largest = Math.max(...expected.flatMap((values) => Array.from(values, Math.abs)));
  return Math.max(0, ...expected.map((values, i) => largestDifference(actual[i] ?? [], values))) / (largest || 1);
}

describe.each(Array.from({ length: 30 }, (_, seed) => seed))('the random model %i', (seed) => {
  it('trains_as_plain_tfjs_and_gives_the_bits_of_one_device_on_two', async () => {
    const samples = 6;
    const [plain, one] = twins((norm) => randomModel(seed, norm), referenceBatchNorm, plainBatchNorm);
    const [, two] = twins((norm) => randomModel(seed, norm), referenceBatchNorm, plainBatchNorm);
    for (const each of [plain, one, two]) each.compile({ optimizer: tf.train.sgd(0.02), loss: 'meanSquaredError' });
    const xs = inputsFor(plain, samples, seed).map(({ values, shape }) => tf.tensor(values, shape));
    const ys = plain.outputs.map(({ shape }, i) => {
      const sizes = [samples, ...(shape.slice(1) as number[])];
      return tf.tensor(
        randomArray(
          90 + i,
          sizes.reduce((a, b) => a * b),
        ),
        sizes,
      );
    });
    const networks = [
      [one, ['cpu:0']],
      [two, ['cpu:0', 'cpu:1']],
    ] as const;
    const { numTensors } = tf.memory();
    const losses: unknown[] = [];
    for (const [each, deviceIds] of networks) {
      const network = convertModel(new DataParallel(fromLayersModel(each), { deviceIds }));
      losses.push([await trainOnBatch(network, xs, ys)].flat()[0]);
      await network.module.writeBack();
    }
    expect(tf.memory().numTensors).toBe(numTensors);
    const expected = [await plain.trainOnBatch(xs, ys)].flat();
    expect(difference([[Number(losses[0])]], [[Number(expected[0])]])).toBeLessThan(1e-5);
    expect(losses[1]).toBe(losses[0]);
    expect(difference(weightsOf(one), weightsOf(plain))).toBeLessThan(1e-5);
    for (const [i, { originalName }] of two.weights.entries()) {
      const [actual, wanted] = [weightsOf(two)[i] ?? [], weightsOf(one)[i] ?? []];
      if (originalName.includes('moving')) expectSameBits(actual, wanted, originalName);
      else expect(largestDifference(actual, wanted), originalName).toBeLessThan(1e-5);
    }
  });
});

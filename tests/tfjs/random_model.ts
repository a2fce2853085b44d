/** Random models of tf.layers: branches, shared and nested layers, several inputs and outputs, inputs of rank 2 to 5, every option of batch norm. */

import { input, layers, type LayersModel, model, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import { randomUniform } from '../support/random.ts';
import type { Norm } from './reference_batch_norm.ts';

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

/** Channels of every value inside; all layers keep the shape. */
const channels = 4;
const shapes = [[channels], [5, channels], [3, 3, channels], [2, 3, 2, channels]];

const call = (layer: layers.Layer, ...xs: SymbolicTensor[]): SymbolicTensor => layer.apply(xs) as SymbolicTensor;

/** How many samples the batch of a seed has: on three devices the last one often has fewer than the others, or none. */
export function samplesOf(seed: number): number {
  return 4 + Math.floor(randomUniform(seed, 0) * 5);
}

/** The model of a seed, with batch norms made by `norm`. */
export function randomModel(seed: number, norm: Norm): LayersModel {
  const draws = new Draws(seed);
  const shape = draws.of(shapes);
  const inputs = Array.from({ length: 1 + draws.below(2) }, () => input({ shape }));
  const values = randomGraph(draws, norm, inputs, 2);
  // A batch norm and something to train at least, and all inputs in the result.
  const sum = inputs.reduce((total, one) => call(layers.add(), total, one), lastOf(values));
  const last = call(layers.dense({ units: 3 }), call(randomNorm(draws, norm, sum.shape.length), sum));
  const inside = draws.of(values.slice(inputs.length));
  return model({ inputs, outputs: draws.isTrue() ? [last, inside] : last });
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
      const merging: layers.Layer[] = [layers.add(), layers.multiply(), layers.average(), layers.concatenate()];
      const layer = draws.of(merging);
      const merged = call(layer, x, draws.of(values));
      const isWider = layer.getClassName() === 'Concatenate';
      values.push(isWider ? call(layers.dense({ units: channels }), merged) : merged);
    } else if (choice === 1 && used.length > 0) {
      values.push(call(draws.of(used), x));
    } else if (choice === 2 && depth > 0) {
      const own = input({ shape: x.shape.slice(1) });
      const inner = model({ inputs: own, outputs: lastOf(randomGraph(draws, norm, [own], depth - 1)) });
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

/** A layer that keeps the shape of its input. */
function randomLayer(draws: Draws, norm: Norm, rank: number): layers.Layer {
  const kernelRegularizer = draws.below(4) === 0 ? 'l1l2' : undefined;
  const trainable = draws.below(6) > 0;
  const common = { trainable, useBias: draws.isTrue(), activation: draws.of(['tanh', 'sigmoid', 'linear'] as const) };
  const convolution = { filters: channels, kernelSize: draws.of([1, 2, 3]), padding: 'same' as const, ...common };
  switch (draws.below(rank === 2 ? 3 : 5)) {
    case 0:
      return layers.dense({ units: channels, ...common, ...(kernelRegularizer && { kernelRegularizer }) });
    case 1:
      return layers.activation({ activation: draws.of(['tanh', 'softplus'] as const) });
    case 2:
      return randomNorm(draws, norm, rank);
    case 3:
      if (rank === 3) return layers.conv1d(convolution);
      return rank === 4 ? layers.conv2d(convolution) : layers.conv3d(convolution);
    default:
      if (rank === 3) {
        const recurrentInitializer = 'glorotUniform' as const;
        return layers.simpleRNN({ units: channels, returnSequences: true, trainable, recurrentInitializer });
      }
      return rank === 4
        ? layers.depthwiseConv2d({ kernelSize: 2, padding: 'same', ...common })
        : layers.averagePooling3d({ poolSize: 2, strides: 1, padding: 'same' });
  }
}

/** A batch norm with options of all kinds, for values of some rank. */
function randomNorm(draws: Draws, norm: Norm, rank: number): layers.Layer {
  const sometimes = <T extends object>(options: T): T | undefined => (draws.below(5) === 0 ? options : undefined);
  return norm({
    axis: draws.isTrue() ? -1 : 1 + draws.below(rank - 1),
    ...{ momentum: draws.of([0.5, 0.9, 0.99]), epsilon: draws.of([1e-3, 1e-2]) },
    ...{ scale: draws.below(3) > 0, center: draws.below(3) > 0, trainable: draws.below(6) > 0 },
    ...sometimes({ gammaRegularizer: 'l1l2' as const }),
    ...sometimes({ betaRegularizer: 'l1l2' as const }),
  });
}

function lastOf(values: readonly SymbolicTensor[]): SymbolicTensor {
  const last = values.at(-1);
  if (last === undefined) throw new Error('expected a value');
  return last;
}

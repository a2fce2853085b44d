/** One random model on 1, 2 and 3 devices and by plain tfjs: gradients, and steps of training. No Vitest: a script uses it, too. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { convertModel, DataParallel } from 'syncbn';
import { fromLayersModel, trainOnBatch } from 'syncbn/tfjs';
import { randomArray } from '../support/random.ts';
import { inputsFor, twins } from './models.ts';
import { difference, exactPartsOf, passOfModule, passOfTfjs, weightsOf } from './passes.ts';
import { randomModel, samplesOf } from './random_model.ts';
import { type Norm, plainBatchNorm, referenceBatchNorm } from './reference_batch_norm.ts';

/** What was found of the model of a seed. */
export interface ModelFinding {
  readonly seed: number;
  /** Names of what differs, in any bit, between one device and several, though it must not. */
  readonly differingBits: readonly string[];
  /** How far the gradients of other layers are apart between one device and several, of the largest. */
  readonly devicesApart: number;
  /** How far one device is from plain tfjs, of the largest value: outputs, gradients and moving averages of a pass, losses and weights of steps. */
  readonly fromTfjs: Readonly<Record<'outputs' | 'gradients' | 'averages' | 'loss' | 'step', number>>;
  /** How many tensors of tfjs the library has left behind. */
  readonly tensorsLeft: number;
}

const places = [['cpu:0'], ['cpu:0', 'cpu:1'], ['cpu:0', 'cpu:1', 'cpu:2']];

/** Looks at the model of a seed. */
export async function searchModel(seed: number): Promise<ModelFinding> {
  const samples = samplesOf(seed);
  const options = { training: true, samples, seed };
  const make = (norm: Norm): LayersModel => randomModel(seed, norm);
  const [plain] = twins(make, referenceBatchNorm, plainBatchNorm, seed);
  const own = places.map(() => twins(make, referenceBatchNorm, plainBatchNorm, seed)[1]);

  const expected = passOfTfjs(plain, options);
  const { numTensors } = tf.memory();
  const passes = [];
  for (const [i, model] of own.entries()) passes.push(await passOfModule(model, places[i] ?? [], options));
  const [one, ...several] = passes;
  if (one === undefined) throw new Error('expected a pass');
  const differingBits = several.flatMap((pass, i) =>
    differing([...exactPartsOf(pass)], [...exactPartsOf(one)], `on ${i + 2} devices: `),
  );
  const gradientsOf = ({ gradients }: typeof one): Float32Array[] => [...gradients.values()];
  const devicesApart = Math.max(...several.map((pass) => difference(gradientsOf(pass), gradientsOf(one))));

  const tensorsLeft = tf.memory().numTensors - numTensors;
  const step = await searchStep(plain, own, samples, seed);
  return {
    seed,
    differingBits: [...differingBits, ...step.differingBits],
    devicesApart,
    fromTfjs: {
      outputs: difference(one.outputs, expected.outputs),
      gradients: difference([...gradientsOf(one), ...one.dx], [...gradientsOf(expected), ...expected.dx]),
      averages: difference(one.weights, expected.weights),
      ...step.fromTfjs,
    },
    tensorsLeft: tensorsLeft + step.tensorsLeft,
  };
}

/** One step of training on all, from what the passes have left. */
async function searchStep(
  plain: LayersModel,
  own: readonly LayersModel[],
  samples: number,
  seed: number,
): Promise<{ differingBits: string[]; tensorsLeft: number; fromTfjs: Record<'loss' | 'step', number> }> {
  const optimizer = tf.train.sgd(0.02);
  for (const each of [plain, ...own]) each.compile({ optimizer, loss: 'meanSquaredError' });
  const xs = inputsFor(plain, samples, seed + 1).map(({ values, shape }) => tf.tensor(values, shape));
  const ys = plain.outputs.map(({ shape: [, ...sizes] }, i) => {
    const shape = [samples, ...(sizes as number[])];
    const values = randomArray(
      90 + i,
      shape.reduce((a, b) => a * b),
    );
    return tf.tensor(values, shape);
  });
  const { numTensors } = tf.memory();
  const losses: number[] = [];
  for (const [i, model] of own.entries()) {
    const network = convertModel(new DataParallel(fromLayersModel(model), { deviceIds: places[i] ?? [] }));
    losses.push(Number([await trainOnBatch(network, xs, ys)].flat()[0]));
    await network.module.writeBack();
  }
  const tensorsLeft = tf.memory().numTensors - numTensors;
  const wanted = Number([await plain.trainOnBatch(xs, ys)].flat()[0]);
  tf.dispose([xs, ys]);
  optimizer.dispose();
  const [one = NaN] = losses;
  const averagesOf = (model: LayersModel): [string, Float32Array][] =>
    weightsOf(model).flatMap((values, i): [string, Float32Array][] => {
      const { name = '', originalName = '' } = model.weights[i] ?? {};
      return originalName.includes('moving') ? [[name, values]] : [];
    });
  const [first, ...others] = own;
  const differingBits = others.flatMap((model, i) => [
    ...(losses[i + 1] === one ? [] : [`on ${i + 2} devices: the loss`]),
    ...differing(
      averagesOf(model),
      first === undefined ? [] : averagesOf(first),
      `on ${i + 2} devices, after a step: `,
    ),
  ]);
  const weights = first === undefined ? [] : weightsOf(first);
  return {
    differingBits,
    tensorsLeft,
    fromTfjs: { loss: difference([[one]], [[wanted]]), step: difference(weights, weightsOf(plain)) },
  };
}

type Named = readonly (readonly [name: string, values: Float32Array])[];

/** Names of what differs in any bit. They are compared in order: names of weights are counted over the models of a page. */
function differing(actual: Named, expected: Named, prefix: string): string[] {
  if (actual.length !== expected.length) return [`${prefix}the number of parts`];
  const isSame = (some: Float32Array, others: Float32Array): boolean =>
    some.length === others.length && some.every((value, i) => Object.is(value, others[i]));
  return expected
    .filter(([, values], i) => !isSame(actual[i]?.[1] ?? new Float32Array(), values))
    .map(([name]) => prefix + name);
}

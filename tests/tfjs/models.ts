/** Models of tf.layers for tests, by name; each can be made with any batch norm, and twice with equal weights. */

import * as tf from '@tensorflow/tfjs-core';
import {
  input,
  layers,
  type LayersModel,
  model,
  type RNN,
  sequential,
  type SymbolicTensor,
} from '@tensorflow/tfjs-layers';
import { randomArray } from '../support/random.ts';
import type { Norm } from './reference_batch_norm.ts';

/** Builds a model with batch norms made by `norm`. */
export type ModelMaker = (norm: Norm) => LayersModel;

const dense = (units: number, more: object = {}): layers.Layer => layers.dense({ units, activation: 'tanh', ...more });
const conv = (filters: number, more: object = {}): layers.Layer =>
  layers.conv2d({ filters, kernelSize: 3, padding: 'same', ...more });
const lstm = (units: number, more: object = {}): RNN =>
  // The default initializer needs the chained operations of tfjs.
  layers.lstm({ units, recurrentInitializer: 'glorotUniform', ...more });
const call = (layer: layers.Layer, ...xs: SymbolicTensor[]): SymbolicTensor => layer.apply(xs) as SymbolicTensor;

/** A convolutional network with everything that such networks have: a skip, a nested model, separable convolution, pooling. */
export const convolutional: ModelMaker = (norm) => {
  const x = input({ shape: [8, 8, 3] });
  const a = call(layers.reLU(), call(norm({ name: 'bn1' }), call(conv(4, { name: 'conv1', useBias: false }), x)));
  const separable = layers.separableConv2d({ filters: 4, kernelSize: 3, padding: 'same', name: 'separable' });
  const inner = sequential({
    name: 'block',
    layers: [
      norm({ name: 'bn2', inputShape: [4, 4, 4] }),
      layers.reLU({ maxValue: 6 }),
      conv(6, { name: 'conv2', strides: 2 }),
    ],
  });
  const b = call(inner, call(separable, call(layers.averagePooling2d({ poolSize: 2 }), a)));
  const skip = call(layers.conv2d({ filters: 6, kernelSize: 1, strides: 4, name: 'skip' }), a);
  const y = call(norm({ name: 'bn3', momentum: 0.5 }), call(layers.add(), b, skip));
  return model({
    inputs: x,
    outputs: call(dense(3, { activation: 'softmax', name: 'head' }), call(layers.globalAveragePooling2d({}), y)),
  });
};

const dictionary: Readonly<Record<string, ModelMaker>> = {
  convolutional,
  'batch norm first and last': (norm) => {
    const x = input({ shape: [4, 4, 3] });
    return model({ inputs: x, outputs: call(norm(), call(conv(4), call(norm(), x))) });
  },
  'nothing but a batch norm': (norm) => sequential({ layers: [norm({ inputShape: [5] })] }),
  'no batch norm': () => sequential({ layers: [dense(3, { inputShape: [5] }), dense(2)] }),
  'two batch norms in a row, two inputs, two outputs': (norm) => {
    const [a, b] = [input({ shape: [5] }), input({ shape: [4] })];
    const h = call(norm(), call(norm(), call(layers.concatenate(), call(dense(3), a), b)));
    return model({ inputs: [a, b], outputs: [call(dense(2), h), call(dense(3), call(layers.concatenate(), h, a))] });
  },
  'an output that is used inside': (norm) => {
    const a = input({ shape: [5] });
    const h = call(norm(), call(dense(4), a));
    return model({ inputs: a, outputs: [call(dense(2), h), h] });
  },
  'a shared layer and a shared nested model with a batch norm': (norm) => {
    const [a, b] = [input({ shape: [5] }), input({ shape: [5] })];
    const shared = dense(4);
    const inner = sequential({ name: 'inner', layers: [dense(4, { inputShape: [4] }), norm(), dense(3)] });
    const [p, q] = [a, b].map((x) => call(inner, call(shared, x))) as [SymbolicTensor, SymbolicTensor];
    return model({ inputs: [a, b], outputs: call(layers.add(), p, q) });
  },
  'models in models': (norm) =>
    sequential({
      layers: [
        sequential({ layers: [sequential({ layers: [dense(4, { inputShape: [5] }), norm()] }), dense(3)] }),
        norm(),
        dense(2),
      ],
    }),
  'rank 3 between recurrent layers': (norm) =>
    sequential({ layers: [lstm(4, { returnSequences: true, inputShape: [6, 3] }), norm(), lstm(2)] }),
  'a mask through a batch norm': (norm) =>
    sequential({
      layers: [
        layers.embedding({ inputDim: 4, outputDim: 3, maskZero: true, inputLength: 5 }),
        norm(),
        lstm(3),
        dense(2),
      ],
    }),
  'layers around others': (norm) =>
    sequential({
      layers: [
        layers.timeDistributed({ layer: layers.dense({ units: 4 }), inputShape: [5, 3] }),
        norm(),
        layers.bidirectional({ layer: lstm(3), mergeMode: 'concat' }),
      ],
    }),
  'regularizers and constraints': (norm) =>
    sequential({
      layers: [dense(4, { inputShape: [5], kernelRegularizer: 'l1l2' }), norm(), dense(2, { biasRegularizer: 'l1l2' })],
    }),
  'frozen layers': (norm) =>
    sequential({
      layers: [dense(4, { inputShape: [5], trainable: false }), norm({ trainable: false }), dense(4), norm(), dense(2)],
    }),
  'names that modules have already': (norm) =>
    sequential({
      layers: [dense(4, { name: 'forward', inputShape: [5] }), norm({ name: 'keys' }), dense(2, { name: 'a.b' })],
    }),
  ...Object.fromEntries(
    [
      { axis: 1, shape: [3, 4] },
      { axis: 1, shape: [3, 4, 2] },
      { axis: 2, shape: [3, 4, 2] },
      { axis: -2, shape: [3, 4, 2] },
      { axis: -1, shape: [2, 3, 4, 2] },
      { axis: 3, shape: [2, 3, 4, 2] },
    ].map(({ axis, shape }): [string, ModelMaker] => [
      `axis ${axis} of rank ${shape.length + 1}`,
      (norm) => sequential({ layers: [dense(3, { inputShape: shape }), norm({ axis }), dense(2)] }),
    ]),
  ),
  ...Object.fromEntries(
    [{ scale: false }, { center: false }, { scale: false, center: false }].map((options): [string, ModelMaker] => [
      `batch norm with ${JSON.stringify(options)}`,
      (norm) => sequential({ layers: [conv(4, { inputShape: [4, 4, 3] }), norm(options), layers.flatten(), dense(2)] }),
    ]),
  ),
};

/** All of them. */
export const models: readonly { readonly name: string; readonly make: ModelMaker }[] = Object.entries(dictionary).map(
  ([name, make]) => ({ name, make }),
);

/** A model with batch norms of one kind, and the same with another, with the same random weights. */
export function twins(make: ModelMaker, first: Norm, second: Norm, seed = 1): [LayersModel, LayersModel] {
  const [one, other] = [make(first), make(second)];
  const values = one.weights.map(({ originalName, shape }, i) => {
    const count = (shape as number[]).reduce((product, size) => product * size, 1);
    // A scale or a variance is around 1, everything else around 0.
    const isScale = /gamma|variance/.test(originalName);
    const draw = isScale ? { distribution: 'uniform' as const, offset: 0.5 } : { scale: 0.5 };
    return tf.tensor(randomArray(1000 * seed + i, count, draw), shape as number[]);
  });
  one.setWeights(values);
  other.setWeights(values);
  tf.dispose(values);
  return [one, other];
}

/** Whether a model takes integers, since it begins with an embedding. */
export function isOfIntegers(model: LayersModel): boolean {
  return model.layers.some((layer) => layer.getClassName() === 'Embedding');
}

/** Inputs for a model: numbers, or integers for one that takes those. */
export function inputsFor(model: LayersModel, samples: number, seed = 1): { values: Float32Array; shape: number[] }[] {
  return model.inputs.map(({ shape: [, ...sizes] }, i) => {
    const shape = [samples, ...(sizes as number[])];
    const count = shape.reduce((product, size) => product * size, 1);
    const values = isOfIntegers(model)
      ? randomArray(seed + i, count, { distribution: 'uniform', scale: 4 }).map(Math.floor)
      : randomArray(seed + i, count, { offset: 0.3, scale: 1.5 });
    return { values, shape };
  });
}

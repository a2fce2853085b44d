/** The network on one device, and on several with plain and with synchronized batch norm. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { convertModel, DataParallel } from 'syncbn';
import { fit, fromLayersModel, type LayersModule, type Network, type Verbosity } from 'syncbn/tfjs';
import { loadDataset } from '../digits/dataset.ts';
import { randomStream } from '../digits/random.ts';
import { CLASSES, IMAGE_SIZE, type Samples, slice } from '../digits/samples.ts';
import { digitsModel } from './network.ts';

export interface ExperimentOptions {
  /** Devices of the runs on several. */
  readonly devices: number;
  /** Samples of a step, over all devices together. */
  readonly batch: number;
  /** Samples that an epoch sees. */
  readonly trainImages: number;
  readonly epochs: number;
  readonly testImages: number;
  readonly seed: number;
  readonly verbose: Verbosity;
}

export interface Result {
  readonly name: string;
  /** Of every step. */
  readonly losses: readonly number[];
  /** Share of the test images that the model tells right, by `model.evaluate()` of TensorFlow.js after `writeBack()`. */
  readonly accuracy: number;
  /** How far its weights are from those of one device, of the largest weight. */
  readonly fromOneDevice: number;
}

/**
 * Trains in three ways from the same weights on the same batches.
 * @param onRun - is told of each way before it begins.
 */
export async function experiment(
  { devices, batch, trainImages, epochs, testImages, seed, verbose }: ExperimentOptions,
  onRun: (name: string) => void,
): Promise<readonly Result[]> {
  const dataset = loadDataset(testImages, randomStream(seed, 1));
  const train = tensorsOf(slice(dataset.train, 0, trainImages));
  const test = tensorsOf(dataset.test);
  const deviceIds = Array.from({ length: devices }, (_, i) => `cpu:${i}`);
  const each = batch / devices;
  const ways: readonly (readonly [name: string, place: (net: LayersModule) => Network])[] = [
    [`one device, ${batch} samples`, (net) => net],
    [`${devices} devices, ${each} samples each, plain`, (net) => new DataParallel(net, { deviceIds })],
    [
      `${devices} devices, ${each} samples each, synchronized`,
      (net) => convertModel(new DataParallel(net, { deviceIds })),
    ],
  ];
  const results: Result[] = [];
  let oneDevice: readonly Float32Array[] | null = null;
  for (const [name, place] of ways) {
    onRun(name);
    const model = digitsModel(seed);
    model.compile({ optimizer: tf.train.momentum(0.01, 0.9), loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
    const net = fromLayersModel(model);
    const losses: number[] = [];
    await fit(place(net), train.images, train.labels, {
      ...{ epochs, batchSize: batch, shuffle: false, verbose },
      onStep: ({ loss }) => losses.push(loss),
    });
    await net.writeBack();
    const weights = await weightsOf(model);
    oneDevice ??= weights;
    results.push({ name, losses, accuracy: await accuracyOf(model, test), fromOneDevice: apart(weights, oneDevice) });
    model.dispose();
  }
  tf.dispose([train.images, train.labels, test.images, test.labels]);
  return results;
}

interface Tensors {
  /** (N, 28, 28, 1) */
  readonly images: tf.Tensor4D;
  /** (N, 10), 1 in the place of the digit. */
  readonly labels: tf.Tensor2D;
}

function tensorsOf({ images, labels }: Samples): Tensors {
  return {
    images: tf.tensor4d(images, [labels.length, IMAGE_SIZE, IMAGE_SIZE, 1]),
    labels: tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d([...labels], 'int32'), CLASSES), 'float32') as tf.Tensor2D),
  };
}

async function accuracyOf(model: LayersModel, { images, labels }: Tensors): Promise<number> {
  const [loss, accuracy] = model.evaluate(images, labels, { batchSize: 100 }) as tf.Scalar[];
  const [value = NaN] = (await accuracy?.data()) ?? [];
  tf.dispose([loss, accuracy]);
  return value;
}

async function weightsOf(model: LayersModel): Promise<Float32Array[]> {
  return (await Promise.all(model.weights.map((weight) => weight.read().data()))) as Float32Array[];
}

/** The largest difference, of the largest weight. */
function apart(actual: readonly Float32Array[], expected: readonly Float32Array[]): number {
  let [most, largest] = [0, 0];
  expected.forEach((values, i) => {
    values.forEach((value, k) => {
      most = Math.max(most, Math.abs((actual[i]?.[k] ?? NaN) - value));
      largest = Math.max(largest, Math.abs(value));
    });
  });
  return most / largest;
}

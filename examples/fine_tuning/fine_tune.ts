/** Fine-tuning on one device and on several, with two samples each. */

import * as tf from '@tensorflow/tfjs-core';
import { convertModel, DataParallel } from 'syncbn';
import { evaluate, fit, fromLayersModel, type LayersModule, type Network } from 'syncbn/tfjs';
import { randomStream } from '../digits/random.ts';
import { CLASSES, drawShapes, SIZE } from '../segmentation/shapes.ts';
import { type NetworkName, withNewClassifier } from './stored_model.ts';

export interface FineTuneOptions {
  readonly network: NetworkName;
  /** Side of the images in pixels. */
  readonly size: number;
  /** Devices, with two samples on each. */
  readonly devices: number;
  readonly steps: number;
  readonly testImages: number;
  readonly seed: number;
}

export interface Result {
  readonly name: string;
  /** Of every step. */
  readonly losses: readonly number[];
  /** Share of the test images that are told right. */
  readonly accuracy: number;
}

/**
 * Trains the network in three ways from the same weights on the same batches: on one device, and on several with plain and with synchronized
 * batch norm. The classes are the kinds of ground that pictures show.
 * @param onStep - is told of each step.
 */
export async function fineTune(
  options: FineTuneOptions,
  onStep: (run: string, step: number, loss: number) => void,
): Promise<readonly Result[]> {
  const { devices, steps, testImages, seed } = options;
  const batchSize = 2 * devices;
  const deviceIds = Array.from({ length: devices }, (_, i) => `cpu:${i}`);
  const ways: readonly (readonly [name: string, place: (net: LayersModule) => Network])[] = [
    [`one device, ${batchSize} samples`, (net) => net],
    [`${devices} devices, 2 samples each, plain`, (net) => new DataParallel(net, { deviceIds })],
    [`${devices} devices, 2 samples each, synchronized`, (net) => convertModel(new DataParallel(net, { deviceIds }))],
  ];
  const train = picturesOf(batchSize * steps, options.size, seed);
  const test = picturesOf(testImages, options.size, seed + 1);
  const results: Result[] = [];
  for (const [name, place] of ways) {
    const model = await withNewClassifier(options.network, options.size, CLASSES);
    const optimizer = tf.train.adam(0.0005);
    model.compile({ optimizer, loss: 'sparseCategoricalCrossentropy', metrics: ['accuracy'] });
    const net = fromLayersModel(model);
    const losses: number[] = [];
    await fit(place(net), train.images, train.labels, {
      epochs: 1,
      batchSize,
      shuffle: false,
      onStep({ loss }) {
        losses.push(loss);
        onStep(name, losses.length, loss);
      },
    });
    const [loss, accuracy] = (await evaluate(net, test.images, test.labels, { batchSize: 8 })) as tf.Scalar[];
    results.push({ name, losses, accuracy: (await accuracy?.data())?.[0] ?? NaN });
    tf.dispose([loss, accuracy]);
    model.dispose();
    optimizer.dispose();
  }
  tf.dispose([train, test]);
  return results;
}

/** Pictures in another size, and the ground that most of each shows. */
function picturesOf(count: number, size: number, seed: number): { images: tf.Tensor4D; labels: tf.Tensor2D } {
  const { images, masks } = drawShapes(count, randomStream(seed, 3));
  const labels = Array.from({ length: count }, (_, i) =>
    mostFrequent(masks.subarray(i * SIZE * SIZE, (i + 1) * SIZE * SIZE)),
  );
  return {
    images: tf.tidy(() => tf.image.resizeNearestNeighbor(tf.tensor4d(images, [count, SIZE, SIZE, 3]), [size, size])),
    labels: tf.tensor2d(labels, [count, 1]),
  };
}

function mostFrequent(mask: Uint8Array): number {
  const counts = Array.from({ length: CLASSES }, (_, class_) => mask.filter((own) => own === class_).length);
  return counts.indexOf(Math.max(...counts));
}

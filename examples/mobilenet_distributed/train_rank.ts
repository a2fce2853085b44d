/** One rank's part in the training of MobileNetV2. */

import * as tf from '@tensorflow/tfjs-core';
import { convertModel, type Tensor, tensor } from 'syncbn';
import { DistributedDataParallel, type ProcessGroup } from 'syncbn/distributed';
import { fromLayersModel, tfFunction } from 'syncbn/tfjs';
import { Sgd } from '../digits/sgd.ts';
import { CLASSES, IMAGE_SIZE, mobileNetV2 } from './mobilenet.ts';

export interface TrainOptions {
  /** Images of each rank in a step. */
  readonly batch: number;
  readonly steps: number;
}

/** What a rank has found. */
export interface RankResult {
  /** Of the images of all ranks, in each step. */
  readonly losses: readonly number[];
  /** How long each step took, in seconds. */
  readonly seconds: readonly number[];
  /** A sum over all parameters and running statistics, the same on all ranks. */
  readonly checksum: number;
}

/** The sum over samples of −log of the probability of the right class, divided by the size of the whole batch. */
const crossEntropy = tfFunction((probabilities: tf.Tensor2D, scaledLabels: tf.Tensor2D) =>
  tf.neg(tf.sum(tf.mul(scaledLabels, tf.log(tf.add(probabilities, 1e-7))))),
);

/** Trains on random images, with the backend of tfjs that is active: what a step takes does not depend on what is seen. */
export async function trainRank(group: ProcessGroup, { batch, steps }: TrainOptions): Promise<RankResult> {
  const net = convertModel(fromLayersModel(await mobileNetV2()), { processGroup: group });
  const model = new DistributedDataParallel(net, { processGroup: group, reduction: 'sum' });
  await model.ready();
  const optimizer = new Sgd(net.parameters(), { lr: 0.005, momentum: 0.9 });
  const [images, labels] = shardOf(group, batch);
  const [losses, seconds]: [number[], number[]] = [[], []];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    const probabilities = (await model.forward(images)) as Tensor;
    const loss = await crossEntropy(probabilities, labels);
    await loss.backward();
    await optimizer.step();
    const [whole = NaN] = await group.allReduce(Float32Array.of(await loss.item()), { tag: 'loss' });
    seconds.push((performance.now() - start) / 1000);
    losses.push(whole);
    [probabilities, loss].forEach((each) => each.dispose());
  }
  return { losses, seconds, checksum: await checksumOf(net.stateDict()) };
}

/** This rank's images, and their labels divided by the size of the whole batch. */
function shardOf({ rank, size }: ProcessGroup, batch: number): [images: Tensor, labels: Tensor] {
  const pixels = tf.randomUniform([batch, IMAGE_SIZE, IMAGE_SIZE, 3], -1, 1, 'float32', rank + 1);
  const images = tensor(pixels.dataSync<'float32'>(), [batch, IMAGE_SIZE, IMAGE_SIZE, 3]);
  pixels.dispose();
  const labels = Float32Array.from({ length: batch * CLASSES }, (_, i) => (i % CLASSES === 0 ? 1 / (batch * size) : 0));
  return [images, tensor(labels, [batch, CLASSES])];
}

async function checksumOf(state: Readonly<Record<string, Tensor | number>>): Promise<number> {
  let sum = 0;
  for (const value of Object.values(state)) {
    const values = typeof value === 'number' ? [value] : await value.data();
    for (const each of values) sum += each;
  }
  return sum;
}

/** The runs: one network on one device, and with one sample on each of sixteen devices, plain and synchronized. */

import * as tf from '@tensorflow/tfjs-core';
import { convertModel, DataParallel } from 'syncbn';
import { fromLayersModel, type LayersModule, type Network, predict, trainOnBatch } from 'syncbn/tfjs';
import { permutation, randomStream } from '../digits/random.ts';
import { segmentationNet } from './network.ts';
import { Overlap } from './overlap.ts';
import { CLASSES, drawShapes, select, type Shapes, SIZE } from './shapes.ts';

/** Devices, and samples of a step. */
export const DEVICES = 16;

export interface ExperimentOptions {
  readonly steps: number;
  readonly seed: number;
  readonly trainImages: number;
  readonly testImages: number;
}

/** The test images after some step. */
export interface Checkpoint {
  readonly step: number;
  /** Mean intersection over union, from 0 to 1. */
  readonly overlap: number;
}

export interface RunRecord {
  readonly name: string;
  /** Of every step. */
  readonly losses: readonly number[];
  readonly checkpoints: readonly Checkpoint[];
  /** Intersection over union of each class at the end. */
  readonly perClass: readonly number[];
  /** What it says of the test images at the end, (N, 24, 24). */
  readonly masks: Uint8Array;
  readonly samplesPerSecond: number;
}

const deviceIds = Array.from({ length: DEVICES }, (_, i) => `cpu:${i}`);

/** The ways to train, by name. */
const ways: readonly (readonly [name: string, place: (net: LayersModule) => Network])[] = [
  [`one device, ${DEVICES} samples`, (net) => net],
  [`${DEVICES} devices, 1 sample each, plain`, (net) => new DataParallel(net, { deviceIds })],
  [`${DEVICES} devices, 1 sample each, synchronized`, (net) => convertModel(new DataParallel(net, { deviceIds }))],
];

/**
 * Trains the same network on the same batches in every way.
 * @param onStep - is told of each step.
 */
export async function experiment(
  options: ExperimentOptions,
  onStep: (run: string, step: number, loss: number) => void,
): Promise<{ readonly runs: readonly RunRecord[]; readonly test: Shapes }> {
  const train = drawShapes(options.trainImages, randomStream(options.seed, 0));
  const test = drawShapes(options.testImages, randomStream(options.seed, 1));
  const runs: RunRecord[] = [];
  for (const [name, place] of ways) {
    runs.push(await trainRun(name, place, { train, test }, options, onStep));
  }
  return { runs, test };
}

async function trainRun(
  name: string,
  place: (net: LayersModule) => Network,
  { train, test }: { readonly train: Shapes; readonly test: Shapes },
  { steps, seed }: ExperimentOptions,
  onStep: (run: string, step: number, loss: number) => void,
): Promise<RunRecord> {
  const model = segmentationNet(seed);
  const optimizer = tf.train.adam(0.003);
  model.compile({ optimizer, loss: 'sparseCategoricalCrossentropy' });
  const net = fromLayersModel(model);
  const network = place(net);
  const order = batchesOf(train.masks.length / SIZE ** 2, seed);
  const losses: number[] = [];
  const checkpoints: Checkpoint[] = [];
  const every = Math.ceil(steps / 6);
  let seconds = 0;
  let tested = await segment(net, test);
  for (let step = 1; step <= steps; step++) {
    const batch = select(train, order.next().value);
    const [x, y] = [imagesOf(batch), labelsOf(batch)];
    const start = performance.now();
    losses.push((await trainOnBatch(network, x, y)) as number);
    seconds += (performance.now() - start) / 1000;
    tf.dispose([x, y]);
    onStep(name, step, losses.at(-1) ?? NaN);
    if (step % every === 0 || step === steps) {
      tested = await segment(net, test);
      checkpoints.push({ step, overlap: tested.overlap.mean });
    }
  }
  model.dispose();
  optimizer.dispose();
  const { masks, overlap } = tested;
  return {
    name,
    losses,
    checkpoints,
    perClass: overlap.perClass,
    masks,
    samplesPerSecond: (steps * DEVICES) / seconds,
  };
}

/** Places of samples, so many for each step: every sample once in random order, then again in another. */
function* batchesOf(samples: number, seed: number): Generator<readonly number[], never> {
  const random = randomStream(seed, 2);
  for (;;) {
    const order = [...permutation(random, samples)];
    while (order.length >= DEVICES) {
      yield order.splice(0, DEVICES);
    }
  }
}

/** What the network says of images, by running statistics, on one device. */
async function segment(
  net: LayersModule,
  test: Shapes,
): Promise<{ readonly masks: Uint8Array; readonly overlap: Overlap }> {
  const x = imagesOf(test);
  const shares = (await predict(net, x, { batchSize: 32 })) as tf.Tensor;
  const classes = tf.argMax(shares, -1);
  const masks = Uint8Array.from(await classes.data());
  tf.dispose([x, shares, classes]);
  const overlap = new Overlap();
  overlap.add(masks, test.masks);
  return { masks, overlap };
}

function imagesOf({ images }: Shapes): tf.Tensor {
  return tf.tensor4d(images, [images.length / (SIZE * SIZE * 3), SIZE, SIZE, 3]);
}

function labelsOf({ masks }: Shapes): tf.Tensor {
  if (masks.some((class_) => class_ >= CLASSES)) {
    throw new RangeError(`expected classes below ${CLASSES}`);
  }
  return tf.tensor4d(Float32Array.from(masks), [masks.length / SIZE ** 2, SIZE, SIZE, 1]);
}

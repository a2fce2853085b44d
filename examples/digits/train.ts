/** Trains one run and records what happens on the way. */

import { scope, tensor } from 'syncbn';
import type { Dataset } from './dataset.ts';
import { type Evaluation, evaluate } from './evaluate.ts';
import { crossEntropy } from './layers/cross_entropy.ts';
import { digitNet } from './network.ts';
import { randomStream } from './random.ts';
import type { Classifier, Run } from './runs.ts';
import { batches, IMAGE_SIZE } from './samples.ts';
import { Sgd } from './sgd.ts';

/** What is the same in every run. */
export interface TrainOptions {
  readonly batch: number;
  readonly steps: number;
  readonly seed: number;
}

/** What is known after a step. */
export interface StepReport {
  /** Counted from 1. */
  readonly step: number;
  readonly loss: number;
  readonly samplesPerSecond: number;
}

/** The state of a network after some step. */
export interface Checkpoint {
  readonly step: number;
  /** Share of the test images told right, by running statistics. */
  readonly accuracy: number;
  /** All parameters, one after another. */
  readonly weights: Float32Array;
}

/** What one run did. */
export interface RunRecord {
  readonly run: Run;
  /** The loss of every step's batch. */
  readonly losses: readonly number[];
  /** In order of steps; the last one is the end. */
  readonly checkpoints: readonly Checkpoint[];
  /** The trained network's outputs for the test images. */
  readonly logits: Float32Array;
  /**
   * Speed of the median step, evaluation left out: the first steps of the first run are slow, since the engine has yet to
   * compile what they execute.
   */
  readonly samplesPerSecond: number;
}

/** Sequences of the seed: one per purpose, the same for every run. */
export const STREAMS = { split: 0, weights: 1, batches: 2 } as const;

/** The same for every run; with a learning rate of 0.05 the network was unstable on one device already. */
const SGD_OPTIONS = { lr: 0.01, momentum: 0.9 } as const;

/** How many times a run is looked at on its way, besides after its first step. */
const CHECKPOINTS = 6;

/** Trains a new network in the way of `run`. */
export async function train(
  run: Run,
  dataset: Dataset,
  options: TrainOptions,
  onStep: (report: StepReport) => void,
): Promise<RunRecord> {
  const { batch, steps, seed } = options;
  const network = digitNet(randomStream(seed, STREAMS.weights));
  const { device } = run;
  await network.to(device);
  const model = run.place(network);
  const optimizer = new Sgd(network.parameters(), SGD_OPTIONS);
  const source = batches(dataset.train, batch, randomStream(seed, STREAMS.batches));
  const losses: number[] = [];
  const checkpoints: Checkpoint[] = [];
  const checkpointSteps = stepsToCheck(steps);
  let evaluation: Evaluation | null = null;
  const seconds: number[] = [];
  const samplesPerSecond = (): number => batch / median(seconds);

  for (let step = 1; step <= steps; step++) {
    const { images, labels } = source.next().value;
    const start = performance.now();
    losses.push(await trainStep(model, optimizer, device, images, labels));
    seconds.push((performance.now() - start) / 1000);
    onStep({ step, loss: losses.at(-1) ?? NaN, samplesPerSecond: samplesPerSecond() });
    if (checkpointSteps.has(step)) {
      evaluation = await evaluate(network, dataset.test, device);
      checkpoints.push({ step, accuracy: evaluation.accuracy, weights: await weightsOf(network) });
    }
  }
  if (evaluation === null) {
    throw new RangeError(`expected at least one step, got ${steps}`);
  }
  return { run, losses, checkpoints, logits: evaluation.logits, samplesPerSecond: samplesPerSecond() };
}

/** One step on one batch. The scope frees every tensor made on the way, so that memory stays constant. */
function trainStep(
  model: Classifier,
  optimizer: Sgd,
  device: string,
  images: Float32Array,
  labels: Uint8Array,
): Promise<number> {
  return scope(async () => {
    const x = tensor(images, [labels.length, 1, IMAGE_SIZE, IMAGE_SIZE], { device });
    const loss = await crossEntropy(await model.forward(x), labels);
    await loss.backward();
    await optimizer.step();
    return loss.item();
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function stepsToCheck(steps: number): ReadonlySet<number> {
  const evenly = Array.from({ length: CHECKPOINTS }, (_, i) => Math.ceil(((i + 1) * steps) / CHECKPOINTS));
  return new Set([1, ...evenly]);
}

async function weightsOf(network: Classifier): Promise<Float32Array> {
  const arrays = await Promise.all(Array.from(network.parameters(), (parameter) => parameter.data()));
  return Float32Array.from(arrays.flatMap((array) => [...array]));
}

/** Losses, metrics and outputs of a network that is not trained meanwhile. */

import * as tf from '@tensorflow/tfjs-core';
import { noGrad, type Tensor } from '../index.ts';
import { type Batch, batches, range, samplesOf, standardized, taken, tensorsOf } from './batch.ts';
import { Means } from './callbacks.ts';
import { type CompiledModel, compiledOf, type TensorsByName } from './compiled_model.ts';
import { metricsOf, targetsFor, trainingLoss } from './loss.ts';
import { deviceOf, inMode, moduleOf, type Network } from './network.ts';
import { present } from './present.ts';
import { inputsOn, outputsOf } from './train_step.ts';

/** Options of {@link evaluate} and {@link predict}. */
export interface EvaluateArgs {
  /** Samples at a time, on all devices together; default 32. */
  readonly batchSize?: number;
}

/**
 * The loss and the metrics over samples, `model.evaluate` of tfjs: in evaluation mode, without penalties of regularizers.
 * @returns scalars of tfjs: the loss, or an array of the loss and the metrics where there are some.
 * @throws Error for a model that is not compiled; what tfjs throws for samples of other shapes.
 *
 * @example
 * ```ts
 * const [loss, accuracy] = await evaluate(parallel, xs, ys, { batchSize: 64 });
 * ```
 */
export async function evaluate(
  network: Network,
  x: TensorsByName,
  y: TensorsByName,
  args: EvaluateArgs = {},
): Promise<tf.Scalar | tf.Scalar[]> {
  const model = compiledOf(moduleOf('evaluate()', network).model);
  const { batchSize = 32 } = args;
  checkBatchSize('evaluate()', batchSize);
  const all = await standardized(model, x, y, { batchSize });
  try {
    const values = (await evaluated(network, model, all, batchSize)).map((value) => tf.scalar(value));
    return values.length === 1 ? present(values[0], 'the loss') : values;
  } finally {
    all.dispose();
  }
}

/** Means over all samples of the loss and the metrics. */
export async function evaluated(
  network: Network,
  model: CompiledModel,
  all: Batch,
  batchSize: number,
): Promise<number[]> {
  const means = new Means();
  for (const samples of batches(range(0, samplesOf(all)), batchSize)) {
    const batch = taken(all, samples);
    try {
      means.add(await evaluatedBatch(network, model, batch), samples.length);
    } finally {
      batch.dispose();
    }
  }
  return means.values;
}

/** The loss and the metrics of one batch. */
export async function evaluatedBatch(network: Network, model: CompiledModel, { xs, ys }: Batch): Promise<number[]> {
  const device = await deviceOf(network);
  return withOutputs(network, device, xs, async (outputs) => {
    const targets = await targetsFor({ ys, weights: ys.map(() => null) }, device);
    const [loss, parts] = await trainingLoss(model, outputs, targets, { places: [], values: [] });
    try {
      return [await loss.item(), ...(await metricsOf(model, outputs, targets, Array.from(await parts.data())))];
    } finally {
      loss.dispose();
      parts.dispose();
    }
  });
}

/**
 * The outputs for samples, `model.predict` of tfjs: in evaluation mode.
 * @returns a tensor of tfjs, or an array for a model of several outputs.
 * @throws RangeError for inputs that are not of one number of samples; what the layers throw.
 *
 * @example
 * ```ts
 * const probabilities = await predict(parallel, images);
 * ```
 */
export async function predict(
  network: Network,
  x: tf.Tensor | tf.Tensor[],
  args: EvaluateArgs = {},
): Promise<tf.Tensor | tf.Tensor[]> {
  moduleOf('predict()', network);
  const { batchSize = 32 } = args;
  checkBatchSize('predict()', batchSize);
  const xs = tensorsOf(x);
  const [samples = 0, ...others] = xs.map(({ shape: [size = 0] }) => size);
  if (others.some((count) => count !== samples)) {
    throw new RangeError(`predict(): expected inputs of one number of samples, got ${[samples, ...others].join(', ')}`);
  }
  const device = await deviceOf(network);
  const parts: tf.Tensor[][] = [];
  try {
    for (const numbers of batches(range(0, samples), batchSize)) {
      const batch = taken({ xs, ys: [], weights: [] }, numbers);
      try {
        parts.push(await withOutputs(network, device, batch.xs, toTf));
      } finally {
        batch.dispose();
      }
    }
    const outputs = (parts[0] ?? []).map((_, i) => tf.concat(parts.map((part) => present(part[i], 'an output'))));
    return outputs.length === 1 ? present(outputs[0], 'an output') : outputs;
  } finally {
    tf.dispose(parts);
  }
}

async function withOutputs<T>(
  network: Network,
  device: string,
  xs: readonly tf.Tensor[],
  use: (outputs: readonly Tensor[]) => Promise<T>,
): Promise<T> {
  return inMode(network, false, () =>
    noGrad(async () => {
      const inputs = await inputsOn(device, xs);
      try {
        const outputs = await outputsOf(network, inputs);
        return await use(outputs).finally(() => outputs.forEach((output) => output.dispose()));
      } finally {
        inputs.forEach((input) => input.dispose());
      }
    }),
  );
}

async function toTf(outputs: readonly Tensor[]): Promise<tf.Tensor[]> {
  const values = await Promise.all(outputs.map((output) => output.data()));
  return outputs.map(({ shape }, i) => tf.tensor(values[i] ?? new Float32Array(), [...shape], 'float32'));
}

/** @throws RangeError */
export function checkBatchSize(where: string, batchSize: unknown): void {
  if (!Number.isInteger(batchSize) || Number(batchSize) < 1) {
    throw new RangeError(`${where}: expected batchSize to be a positive integer, got ${String(batchSize)}`);
  }
}

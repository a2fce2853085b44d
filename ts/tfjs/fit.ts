/** Training on tensors. */

import * as tf from '@tensorflow/tfjs-core';
import type { History, ModelFitArgs } from '@tensorflow/tfjs-layers';
import {
  type Batch,
  batches,
  type OwnedBatch,
  range,
  samplesOf,
  type SampleWeights,
  standardized,
  taken,
} from './batch.ts';
import { type ClassWeights, type CompiledModel, compiledOf, type TensorsByName } from './compiled_model.ts';
import { checkBatchSize, evaluated } from './evaluate.ts';
import { inMode, moduleOf, type Network } from './network.ts';
import { trainStep } from './train_step.ts';
import { checkVerbosity } from './training_params.ts';
import { runTraining, type TrainingExtras, whileTraining } from './training_loop.ts';

/** Options of {@link fit}: those of `model.fit`, and more. */
export interface FitArgs
  extends
    Omit<ModelFitArgs, 'callbacks' | 'sampleWeight' | 'yieldEvery' | 'verbose' | 'stepsPerEpoch' | 'validationSteps'>,
    TrainingExtras {
  /** One weight per sample, which its loss is multiplied with; tfjs does not have it yet. */
  readonly sampleWeight?: SampleWeights;
}

/** Options of {@link trainOnBatch}. */
export interface TrainOnBatchArgs {
  readonly sampleWeight?: SampleWeights;
  readonly classWeight?: ClassWeights;
}

/**
 * Trains a network as `model.fit` of tfjs trains its model, with the model's own loss, metrics and optimizer. The samples of each batch are spread over the
 * devices of the network; a batch may have fewer samples than there are devices. The weights of the model itself stay as they are until
 * `writeBack()`.
 *
 * @param network - `fromLayersModel(model)` of a compiled model, alone or in a `DataParallel` that `convertModel()` was given.
 * @param x - samples as tensors of tfjs; several for a model of several inputs, as a list or by name.
 * @returns the history of losses and metrics.
 * @throws Error for a model that is not compiled, or is being trained already; what tfjs throws for samples that do not fit; what a step throws, which has
 * changed nothing then. `RangeError` for options of the wrong kind.
 *
 * @example
 * ```ts
 * const history = await fit(parallel, xs, ys, { epochs: 5, batchSize: 16, validationSplit: 0.1, callbacks: tf.callbacks.earlyStopping() });
 * console.log(history.history.loss);
 * ```
 */
export async function fit(network: Network, x: TensorsByName, y: TensorsByName, args: FitArgs = {}): Promise<History> {
  const model = compiledOf(moduleOf('fit()', network).model);
  const { batchSize = 32, epochs = 1, initialEpoch = 0, shuffle = true, verbose = 1, classWeight, sampleWeight } = args;
  checkBatchSize('fit()', batchSize);
  checkVerbosity('fit()', verbose);
  return whileTraining(model, async () => {
    const owned: OwnedBatch[] = [];
    try {
      const all = await standardized(model, x, y, { batchSize, sampleWeight, classWeight });
      owned.push(all);
      const { train, validation } = await partsOf(model, all, args, batchSize, owned);
      model.checkTrainableWeightsConsistency();
      const names = model.getDedupedMetricsNames();
      return await inMode(network, true, () =>
        runTraining({
          network,
          model,
          extras: args,
          params: {
            ...{ epochs, initialEpoch, samples: train.length, steps: Math.ceil(train.length / batchSize), batchSize },
            ...{ verbose, doValidation: validation !== null },
            metrics: [...names, ...(validation === null ? [] : names.map((name) => `val_${name}`))],
          },
          epoch: () => epochOf(all, train, batchSize, shuffle),
          validate: validation && (() => evaluated(network, model, validation, batchSize)),
        }),
      );
    } finally {
      owned.forEach((batch) => batch.dispose());
    }
  });
}

/**
 * One step on one batch, `model.trainOnBatch` of tfjs.
 * @returns the loss, or an array of the loss and the metrics where there are some.
 * @throws as {@link fit}
 *
 * @example
 * ```ts
 * const loss = await trainOnBatch(parallel, xs, ys);
 * ```
 */
export async function trainOnBatch(
  network: Network,
  x: TensorsByName,
  y: TensorsByName,
  { sampleWeight, classWeight }: TrainOnBatchArgs = {},
): Promise<number | number[]> {
  const model = compiledOf(moduleOf('trainOnBatch()', network).model);
  const batch = await standardized(model, x, y, { sampleWeight, classWeight });
  try {
    const values = await inMode(network, true, () => trainStep(network, batch));
    return values.length === 1 ? (values[0] ?? Number.NaN) : values;
  } finally {
    batch.dispose();
  }
}

/** The numbers of the samples to train with, and what to validate with. */
async function partsOf(
  model: CompiledModel,
  all: Batch,
  { validationData, validationSplit }: FitArgs,
  batchSize: number,
  owned: OwnedBatch[],
): Promise<{ train: number[]; validation: Batch | null }> {
  const samples = samplesOf(all);
  if (validationData !== undefined && validationData.length > 0) {
    if (validationData.length !== 2) {
      throw new RangeError(`fit(): expected validationData to be [x, y], got ${validationData.length} items`);
    }
    const [x, y] = validationData;
    const validation = await standardized(model, x, y, { batchSize });
    owned.push(validation);
    return { train: range(0, samples), validation };
  }
  if (validationSplit !== undefined && validationSplit > 0 && validationSplit < 1) {
    const splitAt = Math.floor(samples * (1 - validationSplit));
    const validation = taken(all, range(splitAt, samples));
    owned.push(validation);
    return { train: range(0, splitAt), validation };
  }
  return { train: range(0, samples), validation: null };
}

function* epochOf(
  all: Batch,
  train: readonly number[],
  batchSize: number,
  shuffle: unknown,
): Generator<{ batch: Batch; size: number; isLast: boolean }> {
  const order = [...train];
  if (shuffle === 'batch') {
    throw new RangeError("fit(): expected shuffle to be true or false; tfjs has no 'batch' either");
  }
  if (shuffle) {
    tf.util.shuffle(order);
  }
  const runs = batches(order, batchSize);
  for (const [i, samples] of runs.entries()) {
    const batch = taken(all, samples);
    try {
      yield { batch, size: samples.length, isLast: i === runs.length - 1 };
    } finally {
      batch.dispose();
    }
  }
}

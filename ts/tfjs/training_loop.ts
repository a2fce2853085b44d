/** What `fit` and `fitDataset` share: epochs, batches, callbacks. */

import type { CustomCallback, History } from '@tensorflow/tfjs-layers';
import type { Batch } from './batch.ts';
import { callbackList, type Callbacks, Means, named } from './callbacks.ts';
import type { CompiledModel } from './compiled_model.ts';
import { moduleOf, type Network } from './network.ts';
import { trainStep } from './train_step.ts';
import type { Progress, TrainingParams, Verbosity } from './training_params.ts';

/** What is told after each step. */
export interface StepReport {
  /** From 0, counted over all epochs of the call. */
  readonly step: number;
  readonly loss: number;
  readonly samplesPerSecond: number;
  /** How long the first replica was in its batch norm layers in forward, computing and waiting for the others. */
  readonly syncMilliseconds: number;
}

/** Options that {@link fit} and {@link fitDataset} have beyond those of tfjs. */
export interface TrainingExtras {
  /** Called after each step. What it throws ends the training. */
  readonly onStep?: (report: StepReport) => void;
  /** Ends the training before the next step; the call then rejects with the signal's reason. What was learned stays. */
  readonly signal?: AbortSignal;
  /**
   * What is shown; default 1. 0: nothing. 1: in Node a bar with losses, metrics and samples per second, where the standard error stream is a terminal and the
   * package `cli-progress` is installed; elsewhere nothing. 2: a line per epoch, by `console.log`.
   */
  readonly verbose?: Verbosity;
  /** Callbacks of tfjs, such as `tf.callbacks.earlyStopping()`, and objects of functions such as `onEpochEnd`. */
  readonly callbacks?: Callbacks;
  /** How often the event loop gets its turn: see `tf.ModelFitArgs`; default `'auto'`. */
  readonly yieldEvery?: ConstructorParameters<typeof CustomCallback>[1];
}

/** The batches of an epoch. */
export type Epoch = Iterable<EpochBatch> | AsyncIterable<EpochBatch>;

/** One of them. */
export interface EpochBatch {
  readonly batch: Batch;
  readonly size: number;
  readonly isLast: boolean;
}

/** One training: what differs between the two. */
export interface Training {
  readonly network: Network;
  readonly model: CompiledModel;
  readonly params: TrainingParams;
  readonly extras: TrainingExtras;
  /** The batches of an epoch. Each is disposed by whoever makes it. */
  readonly epoch: () => Epoch;
  /** The loss and the metrics of the validation; `null`: there is none. */
  readonly validate: (() => Promise<number[]>) | null;
}

/**
 * Runs the epochs, and shows how far they are.
 * @returns the history, as `model.fit` gives it.
 * @throws Error while the model is being trained already; the reason of the signal; what a step or a callback throws.
 */
export async function runTraining(training: Training): Promise<History> {
  const { params } = training;
  const progress = params.verbose === 0 ? null : await (await import('./progress.ts')).progressOf(params);
  try {
    return await runEpochs(training, progress);
  } finally {
    progress?.end();
  }
}

async function runEpochs(
  { network, model, params, extras, epoch: batchesOf, validate }: Training,
  progress: Progress | null,
): Promise<History> {
  const { onStep, signal } = extras;
  const module = moduleOf('fit()', network);
  const names = model.getDedupedMetricsNames();
  const { list, history } = callbackList(model, extras.callbacks, extras.yieldEvery, params, progress);
  model.history = history;
  await list.onTrainBegin();
  model.stopTraining = false;
  let step = 0;
  for (let epoch = params.initialEpoch; epoch < params.epochs && !isStopped(model); epoch += 1) {
    await list.onEpochBegin(epoch);
    const means = new Means();
    const epochLogs: Record<string, number> = {};
    let index = 0;
    for await (const { batch, size, isLast } of batchesOf()) {
      signal?.throwIfAborted();
      const logs: Record<string, number> = { batch: index, size };
      // As tfjs, which tells it of datasets only.
      await list.onBatchBegin(index, params.batchSize === null ? logs : {});
      const start = performance.now();
      const values = await trainStep(network, batch);
      const seconds = (performance.now() - start) / 1000;
      means.add(values, size);
      Object.assign(logs, named(names, values));
      onStep?.({
        step,
        loss: values[0] ?? Number.NaN,
        samplesPerSecond: size / seconds,
        syncMilliseconds: module.syncMilliseconds,
      });
      if (isLast && validate !== null) {
        Object.assign(epochLogs, named(names, await validate(), 'val_'));
      }
      await list.onBatchEnd(index, logs);
      [index, step] = [index + 1, step + 1];
      if (isStopped(model)) {
        break;
      }
    }
    Object.assign(epochLogs, named(names, means.values));
    await list.onEpochEnd(epoch, epochLogs);
  }
  await list.onTrainEnd();
  await history.syncData();
  return history;
}

/**
 * Runs a training while the model is marked as being trained.
 * @throws Error where it is already.
 */
export async function whileTraining<T>(model: CompiledModel, train: () => Promise<T>): Promise<T> {
  if (model.isTraining) {
    throw new Error('Cannot start training because another fit() call is ongoing.');
  }
  model.isTraining = true;
  try {
    return await train();
  } finally {
    model.isTraining = false;
  }
}

/** A callback may have set it meanwhile. */
function isStopped(model: CompiledModel): boolean {
  return model.stopTraining;
}

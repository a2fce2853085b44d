/** Training on datasets of tfjs-data, or whatever has their iterators. */

import * as tf from '@tensorflow/tfjs-core';
import type { History } from '@tensorflow/tfjs-layers';
import { type OwnedBatch, samplesOf, standardized, tensorsOf } from './batch.ts';
import { Means } from './callbacks.ts';
import { type ClassWeights, type CompiledModel, compiledOf, type TensorsByName } from './compiled_model.ts';
import { checkBatchSize, evaluated, evaluatedBatch } from './evaluate.ts';
import { inMode, moduleOf, type Network } from './network.ts';
import { runTraining, type TrainingExtras, whileTraining } from './training_loop.ts';
import { checkVerbosity } from './training_params.ts';

/** One batch of a dataset, which the training disposes. */
export interface DatasetBatch {
  readonly xs: TensorsByName;
  readonly ys: TensorsByName;
}

/** What a dataset of tfjs-data is made for: batches, again for each epoch. */
export interface DatasetLike {
  /** How many batches; absent, `null` or infinite where that is not known. */
  readonly size?: number | null;
  /** Begins an epoch. */
  iterator(): Promise<BatchIterator>;
}

/** The batches of one epoch, as tfjs-data gives them. */
export interface BatchIterator {
  /** The next batch, `{ xs, ys }`; `done` when there is none. */
  next(): Promise<{ readonly value: unknown; readonly done?: boolean }>;
}

/** Options of {@link fitDataset}: those of `model.fitDataset`, and more. */
export interface FitDatasetArgs extends TrainingExtras {
  readonly epochs: number;
  /** Batches of an epoch; default all of the dataset. */
  readonly batchesPerEpoch?: number;
  readonly initialEpoch?: number;
  /** A dataset, or `[x, y]`. */
  readonly validationData?: DatasetLike | [TensorsByName, TensorsByName];
  /** Of `[x, y]`; default 32. */
  readonly validationBatchSize?: number;
  /** Of a dataset; default all. */
  readonly validationBatches?: number;
  readonly classWeight?: ClassWeights;
}

/**
 * Trains a network on a dataset, `model.fitDataset` of tfjs; see {@link fit}.
 * @param dataset - its batches are `{ xs, ys }`; their tensors are disposed after the step.
 * @throws as {@link fit}; RangeError where `epochs` or `batchesPerEpoch` are no positive integers.
 *
 * @example
 * ```ts
 * const dataset = tf.data.zip({ xs: images, ys: labels }).shuffle(1000).batch(16);
 * await fitDataset(parallel, dataset, { epochs: 5 });
 * ```
 */
export async function fitDataset(network: Network, dataset: DatasetLike, args: FitDatasetArgs): Promise<History> {
  const model = compiledOf(moduleOf('fitDataset()', network).model);
  const {
    epochs,
    batchesPerEpoch,
    initialEpoch = 0,
    verbose = 1,
    validationData,
    validationBatchSize = 32,
    classWeight,
  } = args;
  checkCount('epochs', epochs);
  checkVerbosity('fitDataset()', verbose);
  checkBatchSize('fitDataset()', validationBatchSize);
  for (const name of ['batchesPerEpoch', 'validationBatches'] as const) {
    if (args[name] !== undefined) {
      checkCount(name, args[name]);
    }
  }
  return whileTraining(model, async () => {
    const owned: OwnedBatch[] = [];
    try {
      const validate = await validationOf(network, model, validationData, args, owned);
      const names = model.getDedupedMetricsNames();
      const reader = new Reader(dataset, batchesPerEpoch);
      if (batchesPerEpoch === undefined) {
        // So does tfjs, which then begins anew for each epoch: shuffling with a seed gives the same orders.
        await dataset.iterator();
      }
      return await inMode(network, true, () =>
        runTraining({
          network,
          model,
          extras: args,
          params: {
            ...{ epochs, initialEpoch, samples: null, steps: batchesPerEpoch ?? sizeOf(dataset), batchSize: null },
            ...{ verbose, doValidation: validate !== null },
            metrics: [...names, ...(validate === null ? [] : names.map((name) => `val_${name}`))],
          },
          epoch: () => reader.epoch(model, classWeight),
          validate,
        }),
      );
    } finally {
      owned.forEach((batch) => batch.dispose());
    }
  });
}

/** Goes through a dataset: from its beginning for each epoch, or on and on where an epoch is a number of batches. */
class Reader {
  readonly #dataset: DatasetLike;
  readonly #most: number | undefined;
  #iterator: Awaited<ReturnType<DatasetLike['iterator']>> | null = null;

  constructor(dataset: DatasetLike, most: number | undefined) {
    this.#dataset = dataset;
    this.#most = most;
  }

  async *epoch(
    model: CompiledModel,
    classWeight: ClassWeights | undefined,
  ): AsyncGenerator<{ batch: OwnedBatch; size: number; isLast: boolean }> {
    const iterator =
      this.#most === undefined || this.#iterator === null ? await this.#dataset.iterator() : this.#iterator;
    this.#iterator = iterator;
    const most = this.#most ?? Infinity;
    let next = await iterator.next();
    for (let count = 1; !next.done && count <= most; count += 1) {
      const given = batchOf(next.value);
      // What comes after the last batch of an epoch is for the next one, or the end.
      const following = count < most ? await iterator.next() : { value: null, done: true };
      try {
        const batch = await standardized(model, given.xs, given.ys, { classWeight });
        try {
          yield { batch, size: samplesOf(batch), isLast: following.done === true };
        } finally {
          batch.dispose();
        }
      } finally {
        tf.dispose([...tensorsOf(given.xs), ...tensorsOf(given.ys)]);
      }
      next = following;
      if (following.done === true && count < most && this.#most !== undefined) {
        console.warn(
          `fitDataset(): the dataset ended after ${count} batches of an epoch of ${this.#most}; make it longer, for example by repeat()`,
        );
      }
    }
  }
}

async function validationOf(
  network: Network,
  model: CompiledModel,
  data: FitDatasetArgs['validationData'],
  { validationBatchSize = 32, validationBatches = Infinity }: FitDatasetArgs,
  owned: OwnedBatch[],
): Promise<(() => Promise<number[]>) | null> {
  if (data === undefined) {
    return null;
  }
  if (Array.isArray(data)) {
    const all = await standardized(model, data[0], data[1], { batchSize: validationBatchSize });
    owned.push(all);
    return () => evaluated(network, model, all, validationBatchSize);
  }
  return async () => {
    const means = new Means();
    const reader = new Reader(data, Number.isFinite(validationBatches) ? validationBatches : undefined);
    for await (const { batch, size } of reader.epoch(model, undefined)) {
      means.add(await evaluatedBatch(network, model, batch), size);
    }
    return means.values;
  };
}

/** @throws TypeError for anything but `{ xs, ys }`. */
function batchOf(value: unknown): DatasetBatch {
  const { xs, ys } = Object(value) as Partial<DatasetBatch>;
  if (xs === undefined || ys === undefined) {
    throw new TypeError(`fitDataset(): expected the batches of the dataset to be { xs, ys }, got ${typeof value}`);
  }
  return { xs, ys };
}

function sizeOf({ size }: DatasetLike): number | null {
  return typeof size === 'number' && Number.isFinite(size) ? size : null;
}

function checkCount(name: string, value: unknown): void {
  if (!Number.isInteger(value) || Number(value) < 1) {
    throw new RangeError(`fitDataset(): expected ${name} to be a positive integer, got ${String(value)}`);
  }
}

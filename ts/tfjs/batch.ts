/** Samples with their targets, as tensors of tfjs. */

import * as tf from '@tensorflow/tfjs-core';
import type { ClassWeights, CompiledModel, TensorsByName } from './compiled_model.ts';

/** Weights of the samples: one tensor (N) for a model of one output, else one per output. */
export type SampleWeights = TensorsByName;

/** What a step takes. */
export interface Batch {
  /** One per input of the model. */
  readonly xs: readonly tf.Tensor[];
  /** One per output. */
  readonly ys: readonly tf.Tensor[];
  /** One per output, of shape (N); `null`: all samples count alike. */
  readonly weights: readonly (tf.Tensor | null)[];
}

/** A batch as the user gave it, checked, with what had to be made for it. */
export interface OwnedBatch extends Batch {
  /** Frees what is not the user's. */
  dispose(): void;
}

/**
 * Checks samples and targets as tfjs does, and brings them into the order of the model's inputs and outputs.
 * @throws what tfjs throws; RangeError for weights that do not fit.
 */
export async function standardized(
  model: CompiledModel,
  x: TensorsByName,
  y: TensorsByName,
  options: {
    readonly sampleWeight?: SampleWeights | undefined;
    readonly classWeight?: ClassWeights | undefined;
    readonly batchSize?: number;
  } = {},
): Promise<OwnedBatch> {
  const { sampleWeight, classWeight, batchSize } = options;
  const [xs, ys, classWeights] = await model.standardizeUserData(x, y, null, classWeight ?? null, true, batchSize);
  const given = new Set([...tensorsOf(x), ...tensorsOf(y)]);
  const made = [...xs, ...ys, ...(classWeights ?? [])].filter((item) => !given.has(item));
  try {
    const ofSamples = sampleWeightsOf(model, sampleWeight, samplesOf({ xs, ys, weights: [] }));
    const weights = ys.map((_, i) => {
      const [one, other] = [ofSamples[i] ?? null, classWeights?.[i] ?? null];
      if (one === null || other === null) {
        return one ?? other;
      }
      const product = tf.mul(one, other);
      made.push(product);
      return product;
    });
    return { xs, ys, weights, dispose: () => tf.dispose(made) };
  } catch (error) {
    tf.dispose(made);
    throw error;
  }
}

/** The samples of these numbers, as a batch of its own. */
export function taken({ xs, ys, weights }: Batch, samples: readonly number[]): OwnedBatch {
  const indices = tf.tensor1d([...samples], 'int32');
  const made: tf.Tensor[] = [];
  const take = (item: tf.Tensor): tf.Tensor => {
    const part = tf.gather(item, indices);
    made.push(part);
    return part;
  };
  try {
    const batch = { xs: xs.map(take), ys: ys.map(take), weights: weights.map((item) => item && take(item)) };
    return { ...batch, dispose: () => tf.dispose(made) };
  } catch (error) {
    tf.dispose(made);
    throw error;
  } finally {
    indices.dispose();
  }
}

/** Numbers of samples, in runs of `batchSize`; the last may be shorter. */
export function batches(samples: readonly number[], batchSize: number): number[][] {
  const count = Math.ceil(samples.length / batchSize);
  return Array.from({ length: count }, (_, i) => samples.slice(i * batchSize, (i + 1) * batchSize));
}

/** The numbers from `start` up to `end`. */
export function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}

/** How many samples a batch has. */
export function samplesOf({ xs }: Batch): number {
  return xs[0]?.shape[0] ?? 0;
}

export function tensorsOf(given: TensorsByName): readonly tf.Tensor[] {
  return given instanceof tf.Tensor ? [given] : Object.values(given);
}

function sampleWeightsOf(
  model: CompiledModel,
  given: SampleWeights | undefined,
  samples: number,
): (tf.Tensor | null)[] {
  if (given === undefined) {
    return [];
  }
  const { outputNames } = model;
  const list =
    given instanceof tf.Tensor
      ? [given]
      : Array.isArray(given)
        ? given
        : outputNames.map((name) => given[name] ?? null);
  if (list.length !== outputNames.length) {
    throw new RangeError(
      `sampleWeight: expected one tensor for each of the ${outputNames.length} outputs ${outputNames.join(', ')}, got ${list.length}`,
    );
  }
  for (const item of list) {
    if (item !== null && (item.rank !== 1 || item.shape[0] !== samples)) {
      throw new RangeError(
        `sampleWeight: expected shape [${samples}], one weight per sample, got [${item.shape.join(', ')}]`,
      );
    }
  }
  return list;
}

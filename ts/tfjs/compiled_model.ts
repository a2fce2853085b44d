/** What `model.compile()` and `model.fit()` of tfjs leave and use in a model, beyond its documentation, in one place. */

import type * as tf from '@tensorflow/tfjs-core';
import type { ClassWeight, ClassWeightMap, History, LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';

/** Tensors for the inputs or outputs of a model: one, a list, or by name. */
export type TensorsByName = tf.Tensor | tf.Tensor[] | Record<string, tf.Tensor>;

/** Weights of classes, as `model.fit` takes them. */
export type ClassWeights = ClassWeight | ClassWeight[] | ClassWeightMap;

/** The loss of a batch, per sample or further dimensions, or a metric. */
type LossFunction = (target: tf.Tensor, output: tf.Tensor) => tf.Tensor;

/** A model after `compile()`. */
export interface CompiledModel {
  readonly name: string;
  readonly outputNames: readonly string[];
  readonly outputs: readonly unknown[];
  readonly lossFunctions: readonly LossFunction[];
  /** Each with the number of its output; of a model of several outputs first their losses. */
  readonly metricsTensors: readonly (readonly [metric: LossFunction, output: number])[];
  readonly optimizer: tf.Optimizer;
  /** In the order in which the optimizer has seen them. */
  readonly collectedTrainableWeights: readonly LayerVariable[];
  isTraining: boolean;
  stopTraining: boolean;
  history: History;
  /** Penalties of the regularizers. */
  calculateLosses(): tf.Scalar[];
  checkTrainableWeightsConsistency(): void;
  getDedupedMetricsNames(): string[];
  standardizeUserData(
    x: TensorsByName,
    y: TensorsByName,
    sampleWeight: null,
    classWeight: ClassWeights | null,
    checkBatchAxis: boolean,
    batchSize: number | undefined,
  ): Promise<[xs: tf.Tensor[], ys: tf.Tensor[], weights: tf.Tensor[] | null]>;
}

/**
 * The part of a model that is compiled.
 * @throws Error for one that is not.
 */
export function compiledOf(model: LayersModel): CompiledModel {
  const { model: inner = model } = model as LayersModel & { readonly model?: LayersModel };
  const compiled = inner as unknown as CompiledModel;
  if ((compiled as Partial<CompiledModel>).lossFunctions === undefined) {
    throw new Error(`${model.name}: expected a compiled model; call model.compile({ optimizer, loss }) first`);
  }
  return compiled;
}

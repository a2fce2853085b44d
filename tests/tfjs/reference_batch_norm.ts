/** Batch norm of Keras in operations of tfjs: what its own layer is meant to compute, for every axis and option, and can be differentiated. */

import * as tf from '@tensorflow/tfjs-core';
import { initializers, layers, type LayerVariable, regularizers, type Shape } from '@tensorflow/tfjs-layers';

/** Options that both layers take. */
export interface BatchNormArgs {
  readonly name?: string;
  readonly axis?: number;
  readonly momentum?: number;
  readonly epsilon?: number;
  readonly scale?: boolean;
  readonly center?: boolean;
  readonly trainable?: boolean;
  readonly gammaRegularizer?: 'l1l2';
  readonly betaRegularizer?: 'l1l2';
  readonly inputShape?: number[];
}

/** Makes a batch norm. */
export type Norm = (args?: BatchNormArgs) => layers.Layer;

/** The layer of tfjs. */
export const plainBatchNorm: Norm = (args = {}) => layers.batchNormalization({ ...args });

/** The layer that takes its place where tfjs cannot train its own; its weights come in the same order. */
export const referenceBatchNorm: Norm = (args = {}) => new ReferenceBatchNorm(args);

class ReferenceBatchNorm extends layers.Layer {
  static readonly className = 'ReferenceBatchNorm';
  readonly #args: Omit<BatchNormArgs, 'name' | 'trainable' | 'inputShape'> &
    Required<Pick<BatchNormArgs, 'axis' | 'momentum' | 'epsilon' | 'scale' | 'center'>>;
  #gamma: LayerVariable | null = null;
  #beta: LayerVariable | null = null;
  #mean: LayerVariable | null = null;
  #variance: LayerVariable | null = null;

  constructor(args: BatchNormArgs) {
    super(args);
    this.supportsMasking = true;
    this.#args = { axis: -1, momentum: 0.99, epsilon: 1e-3, scale: true, center: true, ...args };
  }

  override build(inputShape: Shape): void {
    const { axis, scale, center, gammaRegularizer, betaRegularizer } = this.#args;
    const penalty = (kind: 'l1l2' | undefined): ReturnType<typeof regularizers.l1l2> | undefined =>
      kind && regularizers.l1l2();
    const shape = [inputShape.at(axis) ?? 0];
    const [ones, zeros] = [initializers.ones(), initializers.zeros()];
    this.#gamma = scale ? this.addWeight('gamma', shape, 'float32', ones, penalty(gammaRegularizer)) : null;
    this.#beta = center ? this.addWeight('beta', shape, 'float32', zeros, penalty(betaRegularizer)) : null;
    this.#mean = this.addWeight('moving_mean', shape, 'float32', zeros, undefined, false);
    this.#variance = this.addWeight('moving_variance', shape, 'float32', ones, undefined, false);
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { readonly training?: boolean }): tf.Tensor {
    return tf.tidy(() => {
      const [x] = [inputs].flat() as [tf.Tensor];
      const { axis, momentum, epsilon } = this.#args;
      const channels = axis < 0 ? axis + x.rank : axis;
      const others = x.shape.map((_, dim) => dim).filter((dim) => dim !== channels);
      const wide = (vector: tf.Tensor): tf.Tensor =>
        tf.reshape(
          vector,
          x.shape.map((size, dim) => (dim === channels ? size : 1)),
        );
      const [runningMean, runningVariance] = [this.#mean, this.#variance] as [LayerVariable, LayerVariable];
      let mean: tf.Tensor = runningMean.read();
      let variance: tf.Tensor = runningVariance.read();
      if (kwargs.training === true && this.trainable) {
        ({ mean, variance } = tf.moments(x, others));
        const keep = (old: LayerVariable, batch: tf.Tensor): unknown =>
          old.write(tf.add(tf.mul(old.read(), momentum), tf.mul(batch, 1 - momentum)));
        keep(runningMean, mean);
        keep(runningVariance, variance);
      }
      const normal = tf.div(tf.sub(x, wide(mean)), tf.sqrt(tf.add(wide(variance), epsilon)));
      const scaled = this.#gamma === null ? normal : tf.mul(normal, wide(this.#gamma.read()));
      return this.#beta === null ? scaled : tf.add(scaled, wide(this.#beta.read()));
    });
  }
}

/** A step of a batch normalization layer of tfjs, and the same by the formula. */

import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { expect } from 'vitest';
import { randomArray } from '../support/random.ts';

/** Options of a layer. */
export interface Variant {
  readonly axis?: number;
  readonly scale?: boolean;
  readonly center?: boolean;
}

/** Values of one step: `gradients` are of the input and of the parameters that the layer has. */
export interface Result {
  readonly y: tf.Tensor;
  readonly gradients: readonly tf.Tensor[];
  readonly moving: readonly tf.Tensor[];
}

export function random(seed: number, shape: number[], scale = 1, offset = 0): tf.Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(randomArray(seed, count, { scale, offset }), shape);
}

/** Largest difference, of the largest expected value. */
export function distance(found: ArrayLike<number>, right: ArrayLike<number>): number {
  expect(found.length).toBe(right.length);
  const scale = Array.from(right).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  return Array.from(right).reduce((most, value, i) => Math.max(most, Math.abs((found[i] ?? NaN) - value)), 0) / scale;
}

/** A layer with weights and moving averages that are not those of the beginning. */
export function layerOf(
  shape: number[],
  options: Variant & { readonly trainable?: boolean } = {},
): layers.layers.Layer {
  const layer = layers.layers.batchNormalization({ ...options, momentum: 0.7, batchInputShape: shape });
  layer.build(shape);
  layer.setWeights(layer.getWeights().map((weight, i) => random(20 + i, weight.shape, 0.2, 1)));
  return layer;
}

/** What the layer does in training. */
export function stepOf(layer: layers.layers.Layer, x: tf.Tensor, dy: tf.Tensor): Result {
  const names = layer.trainableWeights.map((weight) => weight.name);
  const input = tf.variable(x);
  let y = x;
  const { grads } = tf.variableGrads(() => {
    y = tf.keep(layer.apply(input, { training: true }) as tf.Tensor);
    return tf.sum(tf.mul(y, dy));
  });
  const gradients = [input.name, ...names].map((name) => must(grads[name]));
  input.dispose();
  return { y, gradients, moving: layer.getWeights().slice(-2) };
}

/** The same in operations whose gradients tfjs has right; to be called before the step, which changes the moving averages. */
export function formulaOf(layer: layers.layers.Layer, variant: Variant, x: tf.Tensor, dy: tf.Tensor): Result {
  const { axis = -1, scale = true, center = true } = variant;
  const weights = layer.getWeights();
  const at = axis < 0 ? axis + x.rank : axis;
  const others = x.shape.map((_, i) => i).filter((i) => i !== at);
  const broadcast = (vector: tf.Tensor): tf.Tensor =>
    tf.reshape(vector, x.shape.map((size, i) => (i === at ? size : 1))); // prettier-ignore
  const parameters = weights.slice(0, Number(scale) + Number(center));
  const formula = (...given: tf.Tensor[]): tf.Tensor => {
    const [x, ...rest] = given;
    const mean = tf.mean(must(x), others, true);
    const variance = tf.mean(tf.square(tf.sub(must(x), mean)), others, true);
    let y: tf.Tensor = tf.div(tf.sub(must(x), mean), tf.sqrt(tf.add(variance, 1e-3)));
    if (scale) y = tf.mul(y, broadcast(must(rest[0])));
    return center ? tf.add(y, broadcast(must(rest.at(-1)))) : y;
  };
  const { mean, variance } = tf.moments(x, others);
  const kept = (old: tf.Tensor | undefined, batch: tf.Tensor): tf.Tensor =>
    tf.add(tf.mul(must(old), 0.7), tf.mul(batch, 0.3));
  return {
    y: formula(x, ...parameters),
    gradients: tf.grads(formula)([x, ...parameters], dy),
    moving: [kept(weights.at(-2), mean), kept(weights.at(-1), variance)],
  };
}

/** Compares values, whatever backend has them. */
export async function expectClose(found: Result, right: Result): Promise<void> {
  for (const what of ['y', 'gradients', 'moving'] as const) {
    const [some, others] = [[found[what]].flat(), [right[what]].flat()];
    expect(some.map(({ shape }) => shape)).toEqual(others.map(({ shape }) => shape));
    for (const [i, one] of some.entries()) {
      expect(distance(await one.data(), await must(others[i]).data()), `${what} ${i}`).toBeLessThan(3e-6);
    }
  }
}

/** @throws Error where there is nothing. */
export function must<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error('expected a value');
  }
  return value;
}

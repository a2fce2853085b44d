/**
 * A layer of TensorFlow.js, as `tf.layers.batchNormalization` computes: `moments`, then `batchNorm`, nothing fused. Its layout
 * is channels last; other batches are rearranged when they are loaded, before any timing.
 */

import * as tf from '@tensorflow/tfjs';
import { fromChannelsLast, toChannelsLast } from '../channels_last.ts';
import type { Batch, LayerResults, LayerRun } from '../engine.ts';
import { sizesOf } from '../workloads.ts';

const EPS = 1e-5;

/** On the backend that is active. */
export function tfjsLayer(batch: Batch): LayerRun {
  const { samples, channels, length } = sizesOf(batch.shape);
  // Variables stay until `disposeVariables`; the tensors that they are made from go with the tidy.
  const place = (make: () => tf.Tensor): tf.Tensor => tf.tidy(() => tf.variable(make()));
  const placeLarge = (values: Float32Array) =>
    place(() => tf.tensor3d(toChannelsLast(values, batch.shape), [samples, length, channels]));
  const x = placeLarge(batch.x);
  const dy = placeLarge(batch.dy);
  const weight = place(() => tf.tensor1d(batch.weight));
  const bias = place(() => tf.tensor1d(batch.bias));

  const batchNorm = (input: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor): tf.Tensor => {
    const { mean, variance } = tf.moments(input, [0, 1]);
    return tf.batchNorm(input, mean, variance, offset, scale, EPS);
  };
  const gradients = tf.grads(batchNorm);
  const readLogical = async (array: tf.Tensor) => fromChannelsLast(await array.data(), batch.shape);

  return {
    forward: () => tf.tidy(() => void batchNorm(x, weight, bias)),
    step: () => tf.dispose(gradients([x, weight, bias], dy)),
    results: async (): Promise<LayerResults> => {
      const y = tf.tidy(() => batchNorm(x, weight, bias));
      const [dx, dweight, dbias] = gradients([x, weight, bias], dy) as [tf.Tensor, tf.Tensor, tf.Tensor];
      const results = {
        y: await readLogical(y),
        dx: await readLogical(dx),
        dweight: await dweight.data(),
        dbias: await dbias.data(),
      };
      tf.dispose([y, dx, dweight, dbias]);
      return results;
    },
  };
}

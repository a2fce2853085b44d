/**
 * TensorFlow.js on its WebAssembly backend, as `tf.layers.batchNormalization` computes: `moments`, then `batchNorm`,
 * nothing fused. Its layout is channels last; other batches are rearranged when they are loaded, before any timing.
 */

import * as tf from '@tensorflow/tfjs';
import { getThreadsCount, setThreadsCount, version_wasm as wasmVersion } from '@tensorflow/tfjs-backend-wasm';
import type { Batch, Engine, LayerResults, LayerRun } from '../engine.ts';
import { sizesOf } from '../workloads.ts';

const EPS = 1e-5;

/** @throws Error where the backend does not start. */
export async function openTfjs(): Promise<Engine> {
  setThreadsCount(1);
  if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js offers no wasm backend here');
  await tf.ready();
  let runs: LayerRun[] = [];
  const unload = () => {
    runs = [];
    tf.disposeVariables();
  };
  return {
    version: `TensorFlow.js ${wasmVersion}, ${getThreadsCount()} thread`,
    load(batches) {
      unload();
      runs = batches.map(layerRun);
      return Promise.resolve();
    },
    layers: () => runs,
    unload,
  };
}

function layerRun(batch: Batch): LayerRun {
  const { samples, channels, length } = sizesOf(batch.shape);
  // Variables, because these stay until `disposeVariables`.
  const place = (values: Float32Array): tf.Tensor =>
    tf.tidy(() => tf.variable(tf.transpose(tf.tensor3d(values, [samples, channels, length]), [0, 2, 1])));
  const x = place(batch.x);
  const dy = place(batch.dy);
  const weight = tf.variable(tf.tensor1d(batch.weight));
  const bias = tf.variable(tf.tensor1d(batch.bias));

  const batchNorm = (input: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor): tf.Tensor => {
    const { mean, variance } = tf.moments(input, [0, 1]);
    return tf.batchNorm(input, mean, variance, offset, scale, EPS);
  };
  const gradients = tf.grads(batchNorm);
  const readLogical = (values: tf.Tensor) => tf.tidy(() => tf.transpose(values, [0, 2, 1]).dataSync());

  return {
    forward: () => tf.tidy(() => void batchNorm(x, weight, bias)),
    step: () => tf.dispose(gradients([x, weight, bias], dy)),
    results: (): Promise<LayerResults> => {
      const y = tf.tidy(() => batchNorm(x, weight, bias));
      const [dx, dweight, dbias] = gradients([x, weight, bias], dy) as [tf.Tensor, tf.Tensor, tf.Tensor];
      const results = {
        y: readLogical(y),
        dx: readLogical(dx),
        dweight: dweight.dataSync(),
        dbias: dbias.dataSync(),
      };
      tf.dispose([y, dx, dweight, dbias]);
      return Promise.resolve(results);
    },
  };
}

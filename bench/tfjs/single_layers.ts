/** A convolution and a batch norm by themselves. */

import * as tf from '@tensorflow/tfjs-core';
import * as tfjsLayers from '@tensorflow/tfjs-layers';
import { registerTrainingKernels, useSyncbnLayers } from 'syncbn/tfjs';

/** Times in seconds at best. */
export interface ConvolutionTimes {
  readonly forward: number;
  readonly both: number;
}

/** (8, 32, 32, 32) → 3 × 3 × 32 on the active backend, with our kernels where there are some. */
export function timeConvolution(times: number): ConvolutionTimes {
  const shape: [number, number, number, number] = [8, 32, 32, 32];
  const undo = registerTrainingKernels();
  const [x, dy] = [tf.randomNormal(shape), tf.randomNormal(shape)];
  const filter = tf.randomNormal<tf.Rank.R4>([3, 3, 32, 32]);
  const convolve = (x: tf.Tensor, f: tf.Tensor): tf.Tensor => tf.conv2d(x as tf.Tensor4D, f as tf.Tensor4D, 1, 'same');
  const gradients = tf.grads(convolve);
  try {
    let [forward, both] = [Infinity, Infinity];
    // In turns, so that both see the same machine.
    for (let i = 0; i < times; i += 1) {
      forward = Math.min(
        forward,
        timed(() => convolve(x, filter).dataSync()),
      );
      both = Math.min(
        both,
        timed(() => gradients([x, filter], dy).forEach((gradient) => gradient.dataSync())),
      );
    }
    return { forward, both };
  } finally {
    undo();
    tf.dispose([x, dy, filter]);
  }
}

/** Forward and all gradients of a batch norm. */
export interface BatchNormTimes {
  readonly tfjs: number;
  readonly syncbn: number;
}

/**
 * Takes turns, so that both see the same machine.
 * @param sizes - of the input, channels last.
 * @param finish - waits for the backend.
 */
export async function timeBatchNorm(
  sizes: readonly number[],
  times: number,
  finish: (tensors: tf.Tensor[]) => Promise<void>,
): Promise<BatchNormTimes> {
  const shape = [...sizes];
  const layer = tfjsLayers.layers.batchNormalization({ batchInputShape: shape });
  layer.build(shape);
  const [x, dy] = [tf.randomNormal(shape), tf.randomNormal(shape)];
  const weights = layer.trainableWeights as unknown as { val: tf.Tensor }[];
  const own = weights.map(({ val }) => val);
  const gradients = tf.grads((x: tf.Tensor, ...given: tf.Tensor[]) => {
    weights.forEach((weight, i) => (weight.val = given[i] ?? weight.val));
    const y = layer.apply(x, { training: true }) as tf.Tensor;
    weights.forEach((weight, i) => (weight.val = own[i] ?? weight.val));
    return y;
  });
  const once = async (): Promise<number> => {
    const start = performance.now();
    const results = tf.tidy(() => gradients([x, ...own], dy));
    await finish(results);
    tf.dispose(results);
    return (performance.now() - start) / 1000;
  };
  let [tfjs, syncbn] = [Infinity, Infinity];
  for (let i = 0; i < times; i += 1) {
    tfjs = Math.min(tfjs, await once());
    const undo = await useSyncbnLayers(tfjsLayers);
    for (let k = 0; k < 5; k += 1) syncbn = Math.min(syncbn, await once());
    undo();
  }
  tf.dispose([x, dy]);
  return { tfjs, syncbn };
}

function timed(work: () => void): number {
  const start = performance.now();
  tf.tidy(() => {
    work();
  });
  return (performance.now() - start) / 1000;
}

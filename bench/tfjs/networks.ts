/** The networks whose training steps are measured. */

import * as tf from '@tensorflow/tfjs-core';
import { initializers, input, layers, type LayersModel, model } from '@tensorflow/tfjs-layers';
import type { SymbolicTensor } from '@tensorflow/tfjs-layers';
import { digitsModel } from '../../examples/tfjs_digits/network.ts';

/** A network with a batch. */
export interface Network {
  readonly name: string;
  /** Samples of a batch. */
  readonly batchSize: number;
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  /** A new model, the same each time. */
  make(): Promise<LayersModel>;
}

/** By name. */
export const networks: Readonly<Record<string, Network>> = {
  digits: {
    name: 'digits CNN',
    batchSize: 16,
    inputShape: [28, 28, 1],
    outputShape: [10],
    make: () => Promise.resolve(digitsModel(1)),
  },
  mobilenet: {
    name: 'MobileNetV2, 96²',
    batchSize: 4,
    inputShape: [96, 96, 3],
    outputShape: [5],
    // Its weights are files of a package, which only Node reads.
    make: async () => (await import('../../examples/mobilenet_distributed/mobilenet.ts')).mobileNetV2(),
  },
  segmentation: {
    name: 'segmentation, 64²',
    batchSize: 2,
    inputShape: [64, 64, 3],
    outputShape: [64, 64, 4],
    make: segmentation,
  },
};

/** A batch for a network: random inputs, and the same class for all. */
export function batchOf({ batchSize, inputShape, outputShape }: Network): [xs: tf.Tensor, ys: tf.Tensor] {
  const xs = tf.randomUniform([batchSize, ...inputShape], -1, 1, 'float32', 1);
  const [classes = 0, ...sizes] = [...outputShape].reverse();
  const places = sizes.reduce((product, size) => product * size, batchSize);
  const ys = tf.tidy(() =>
    tf.reshape(tf.cast(tf.oneHot(tf.zeros([places], 'int32'), classes), 'float32'), [batchSize, ...outputShape]),
  );
  return [xs, ys];
}

/** Compiled, with an optimizer of its own. */
export async function compiled(network: Network): Promise<LayersModel> {
  const made = await network.make();
  made.compile({ optimizer: tf.train.sgd(0.01), loss: 'categoricalCrossentropy' });
  return made;
}

let seed = 1;

function convolution(filters: number, kernelSize: number, strides = 1): layers.Layer {
  seed += 1;
  const kernelInitializer = initializers.heNormal({ seed });
  return layers.conv2d({ filters, kernelSize, strides, padding: 'same', useBias: false, kernelInitializer });
}

/** A small U-Net: down twice, up twice, with skips. */
function segmentation(): Promise<LayersModel> {
  seed = 1;
  const block = (x: SymbolicTensor, filters: number, strides = 1): SymbolicTensor =>
    [convolution(filters, 3, strides), layers.batchNormalization(), layers.reLU()].reduce(
      (y, layer) => layer.apply(y) as SymbolicTensor,
      x,
    );
  const up = (x: SymbolicTensor, skip: SymbolicTensor, filters: number): SymbolicTensor => {
    const kernelInitializer = initializers.heNormal({ seed: (seed += 1) });
    const larger = layers
      .conv2dTranspose({ filters, kernelSize: 2, strides: 2, kernelInitializer })
      .apply(x) as SymbolicTensor;
    return block(layers.concatenate().apply([larger, skip]) as SymbolicTensor, filters);
  };
  const images = input({ shape: [64, 64, 3] });
  const first = block(images, 16);
  const second = block(first, 32, 2);
  const third = block(block(second, 64, 2), 64);
  const last = up(up(third, second, 32), first, 16);
  const classes = layers.softmax({ axis: -1 }).apply(convolution(4, 1).apply(last)) as SymbolicTensor;
  return Promise.resolve(model({ inputs: images, outputs: classes }));
}

/** A convolutional network for digits, as users of TensorFlow.js have it. */

import { initializers, layers, type LayersModel, sequential } from '@tensorflow/tfjs-layers';
import { CLASSES, IMAGE_SIZE } from '../digits/samples.ts';

/**
 * Two blocks of convolution, batch norm, ReLU and pooling, a hidden layer with batch norm, and a classifier: images (N, 28, 28, 1) to probabilities (N, 10).
 * The network of `examples/digits`, in tf.layers.
 * @param seed - of the initial weights.
 */
export function digitsModel(seed: number): LayersModel {
  let drawn = 0;
  const kernelInitializer = (): ReturnType<typeof initializers.heNormal> => {
    drawn += 1;
    return initializers.heNormal({ seed: 100 * seed + drawn });
  };
  // Moving averages that follow within some dozens of steps; the default is 0.99.
  const batchNorm = (): layers.Layer => layers.batchNormalization({ momentum: 0.9 });
  const block = (filters: number): layers.Layer[] => [
    layers.conv2d({
      ...{ filters, kernelSize: 3, padding: 'same', useBias: false },
      kernelInitializer: kernelInitializer(),
    }),
    batchNorm(),
    layers.reLU(),
    layers.maxPooling2d({ poolSize: 2 }),
  ];
  return sequential({
    layers: [
      layers.inputLayer({ inputShape: [IMAGE_SIZE, IMAGE_SIZE, 1] }),
      ...block(8),
      ...block(16),
      layers.flatten(),
      layers.dense({ units: 32, useBias: false, kernelInitializer: kernelInitializer() }),
      batchNorm(),
      layers.reLU(),
      layers.dense({ units: CLASSES, activation: 'softmax', kernelInitializer: kernelInitializer() }),
    ],
  });
}

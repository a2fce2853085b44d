/** A small U-Net of tf.layers: what each pixel shows. */

import { initializers, input, layers, model, type LayersModel, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import { CLASSES, SIZE } from './shapes.ts';

/** Channels at full, half and quarter resolution. */
const WIDTHS = [8, 16, 32] as const;

/**
 * A model of images (N, 24, 24, 3) that gives the shares of the classes, (N, 24, 24, 4). It has seven batch norms.
 * @param seed - of the initial weights.
 */
export function segmentationNet(seed: number): LayersModel {
  let drawn = 0;
  const convolution = (x: SymbolicTensor, filters: number, name: string): SymbolicTensor => {
    drawn += 1;
    const kernelInitializer = initializers.heNormal({ seed: seed * 100 + drawn });
    const options = { filters, kernelSize: 3, padding: 'same', useBias: false, kernelInitializer } as const;
    const y = layers.conv2d({ ...options, name: `${name}_conv` }).apply(x);
    // Keras' momentum of 0.99 would follow the statistics too slowly for a few hundred steps.
    const normalized = layers.batchNormalization({ momentum: 0.9, name: `${name}_bn` }).apply(y);
    return layers.reLU({ name: `${name}_relu` }).apply(normalized) as SymbolicTensor;
  };
  const down = (x: SymbolicTensor): SymbolicTensor => layers.maxPooling2d({ poolSize: 2 }).apply(x) as SymbolicTensor;
  const up = (x: SymbolicTensor, beside: SymbolicTensor): SymbolicTensor => {
    const larger = layers.upSampling2d({ size: [2, 2] }).apply(x) as SymbolicTensor;
    return layers.concatenate().apply([larger, beside]) as SymbolicTensor;
  };

  const image = input({ shape: [SIZE, SIZE, 3] });
  const full = convolution(convolution(image, WIDTHS[0], 'full_1'), WIDTHS[0], 'full_2');
  const half = convolution(down(full), WIDTHS[1], 'half');
  const quarter = convolution(convolution(down(half), WIDTHS[2], 'quarter_1'), WIDTHS[2], 'quarter_2');
  const halfAgain = convolution(up(quarter, half), WIDTHS[1], 'half_again');
  const fullAgain = convolution(up(halfAgain, full), WIDTHS[0], 'full_again');
  const kernelInitializer = initializers.heNormal({ seed: seed * 100 });
  const classifier = layers.conv2d({
    filters: CLASSES,
    kernelSize: 1,
    activation: 'softmax',
    kernelInitializer,
    name: 'classifier',
  });
  return model({ inputs: image, outputs: classifier.apply(fullAgain) as SymbolicTensor });
}

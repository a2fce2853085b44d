/** ResNet-50 as a model of tf.layers, its layers named as torchvision names them. */

import { initializers, input, layers, type LayersModel, model, type SymbolicTensor } from '@tensorflow/tfjs-layers';

/** What can be chosen. */
export interface ResNetOptions {
  /** Rows and columns of an image; default 224. */
  readonly imageSize?: number;
  /** Default 1000. */
  readonly classes?: number;
  /** Channels of the stem, of which all others are multiples; default 64. */
  readonly width?: number;
  /** Blocks of each of the four stages; default [3, 4, 6, 3]. */
  readonly blocks?: readonly number[];
  /** Of the initial weights; default 1. */
  readonly seed?: number;
}

/** What a layer is applied to, and gives. */
type Applied = SymbolicTensor;

/**
 * K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning, 2015; `torchvision.models.resnet50`: strides are in the 3 × 3 convolutions, and batch norms have
 * PyTorch's `eps` and momentum. The state dict of torchvision's fits: `loadTorchWeights(net, bytes)`.
 */
export function resnet50(options: ResNetOptions = {}): LayersModel {
  const { imageSize = 224, classes = 1000, width = 64, blocks = [3, 4, 6, 3], seed = 1 } = options;
  const build = new Builder(seed);
  const images = input({ shape: [imageSize, imageSize, 3] });
  let x = build.convolution('conv1', images, { filters: width, kernelSize: 7, strides: 2 });
  x = build.activation(build.batchNorm('bn1', x));
  // Of values that are not negative, a border of zeros is as good as one of −∞.
  x = layers.zeroPadding2d({ padding: 1 }).apply(x) as Applied;
  x = layers.maxPooling2d({ poolSize: 3, strides: 2 }).apply(x) as Applied;
  blocks.forEach((count, stage) => {
    for (let i = 0; i < count; i += 1) {
      const strides = stage > 0 && i === 0 ? 2 : 1;
      x = build.bottleneck(`layer${stage + 1}.${i}`, x, { filters: width * 2 ** stage, strides, isFirst: i === 0 });
    }
  });
  x = layers.globalAveragePooling2d({}).apply(x) as Applied;
  x = layers.dense({ name: 'fc', units: classes, kernelInitializer: build.initializer() }).apply(x) as Applied;
  return model({ inputs: images, outputs: layers.softmax().apply(x) as Applied, name: 'resnet50' });
}

/** Applies layers; every initializer has a seed of its own. */
class Builder {
  #seed: number;

  constructor(seed: number) {
    this.#seed = seed * 1000;
  }

  initializer(): ReturnType<typeof initializers.heNormal> {
    this.#seed += 1;
    return initializers.heNormal({ seed: this.#seed });
  }

  /** PyTorch pads both sides alike, which `same` with a stride does not. */
  convolution(
    name: string,
    x: Applied,
    { filters, kernelSize, strides = 1 }: { filters: number; kernelSize: number; strides?: number },
  ): Applied {
    const padding = (kernelSize - 1) / 2;
    const padded = padding === 0 ? x : (layers.zeroPadding2d({ padding }).apply(x) as Applied);
    const kernelInitializer = this.initializer();
    return layers
      .conv2d({ name, filters, kernelSize, strides, useBias: false, kernelInitializer })
      .apply(padded) as Applied;
  }

  batchNorm(name: string, x: Applied): Applied {
    return layers.batchNormalization({ name, epsilon: 1e-5, momentum: 0.9 }).apply(x) as Applied;
  }

  activation(x: Applied): Applied {
    return layers.reLU().apply(x) as Applied;
  }

  bottleneck(
    name: string,
    x: Applied,
    { filters, strides, isFirst }: { filters: number; strides: number; isFirst: boolean },
  ): Applied {
    const first = this.convolution(`${name}.conv1`, x, { filters, kernelSize: 1 });
    const second = this.convolution(`${name}.conv2`, this.activation(this.batchNorm(`${name}.bn1`, first)), {
      filters,
      kernelSize: 3,
      strides,
    });
    const third = this.convolution(`${name}.conv3`, this.activation(this.batchNorm(`${name}.bn2`, second)), {
      filters: 4 * filters,
      kernelSize: 1,
    });
    const main = this.batchNorm(`${name}.bn3`, third);
    const skip = isFirst
      ? this.batchNorm(
          `${name}.downsample.1`,
          this.convolution(`${name}.downsample.0`, x, { filters: 4 * filters, kernelSize: 1, strides }),
        )
      : x;
    return this.activation(layers.add().apply([main, skip]) as Applied);
  }
}

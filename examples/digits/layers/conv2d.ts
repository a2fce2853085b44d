/** A two-dimensional convolution: how a layer that the library does not have joins its graph. */

import { defineFunction, Module, Parameter, tensor, type Tensor } from 'syncbn';
import { type Random, uniform } from '../random.ts';
import { addSample } from './exact_sum.ts';
import { addProduct, addProductTransposed, transpose } from './matmul.ts';
import { savedTensor } from './saved.ts';
import { type ImageSizes, imageSizes } from './sizes.ts';
import { fold, unfold } from './unfold.ts';

/**
 * `y[n, o] = Σ_c x[n, c] ⋆ weight[o, c]`, stride 1, padded with zeros to the size of the input.
 *
 * Shapes: x (N, C, H, W), weight (O, C, K, K) with odd K, y (N, O, H, W).
 *
 * Both functions read the tensors, compute on the host and make tensors on the device they came from. That is all a
 * layer needs to be trained, also by `DataParallel`, whose replicas call it on their own devices.
 */
export const conv2d = defineFunction({
  name: 'conv2d',
  forward: async (context, x: Tensor, weight: Tensor) => {
    context.saveForBackward(x, weight);
    const { samples, window, inner, outChannels, pixels } = convolutionSizes(x, weight);
    const [image, kernels] = await Promise.all([x.data(), weight.data()]);
    const columns = new Float32Array(inner * pixels);
    const y = new Float32Array(samples * outChannels * pixels);
    for (let n = 0; n < samples; n++) {
      unfold(sample(image, n, samples), window, columns);
      addProduct(sample(y, n, samples), kernels, columns, { rows: outChannels, inner, columns: pixels });
    }
    return tensor(y, [samples, outChannels, window.height, window.width], { device: x.device });
  },
  backward: async (context, dy) => {
    const x = savedTensor(context, 0);
    const weight = savedTensor(context, 1);
    const { samples, window, inner, outChannels, pixels } = convolutionSizes(x, weight);
    const [image, kernels, dOutput] = await Promise.all([x.data(), weight.data(), dy.data()]);
    const [needsDx, needsDweight] = context.needsInputGrad;
    const columns = new Float32Array(inner * pixels);
    const kernelsTransposed = transpose(kernels, outChannels, inner);
    const dx = new Float32Array(needsDx === true ? image.length : 0);
    const dweight = new Float32Array(kernels.length);
    const part = new Float32Array(kernels.length);
    for (let n = 0; n < samples; n++) {
      const dOutputOfSample = sample(dOutput, n, samples);
      if (needsDweight === true) {
        unfold(sample(image, n, samples), window, columns);
        part.fill(0);
        addProductTransposed(part, dOutputOfSample, columns, { rows: outChannels, inner: pixels, columns: inner });
        addSample(dweight, part);
      }
      if (needsDx === true) {
        columns.fill(0);
        addProduct(columns, kernelsTransposed, dOutputOfSample, { rows: inner, inner: outChannels, columns: pixels });
        fold(columns, window, sample(dx, n, samples));
      }
    }
    return [
      needsDx === true ? tensor(dx, x.shape, { device: x.device }) : null,
      needsDweight === true ? tensor(dweight, weight.shape, { device: x.device }) : null,
    ];
  },
});

/** A convolution with a square kernel and no bias, for a batch norm that follows would take any bias away again. */
export class Conv2d extends Module {
  readonly weight: Parameter;

  constructor(inChannels: number, outChannels: number, kernelSize: number, random: Random) {
    super();
    const fanIn = inChannels * kernelSize ** 2;
    // The bound of He et al. (2015) keeps the variance of the values that pass a ReLU.
    const initial = uniform(random, outChannels * fanIn, Math.sqrt(6 / fanIn));
    this.weight = new Parameter(tensor(initial, [outChannels, inChannels, kernelSize, kernelSize]));
  }

  async forward(x: Tensor): Promise<Tensor> {
    return conv2d(x, this.weight);
  }

  override extraRepr(): string {
    const [outChannels, inChannels, height, width] = this.weight.shape;
    return `${inChannels}, ${outChannels}, kernel_size=(${height}, ${width}), bias=False`;
  }
}

function convolutionSizes(x: Tensor, weight: Tensor) {
  const { samples, channels, height, width }: ImageSizes = imageSizes('conv2d', x);
  const {
    samples: outChannels,
    channels: inChannels,
    height: kernel,
    width: kernelWidth,
  } = imageSizes('conv2d', weight);
  if (channels !== inChannels || kernel !== kernelWidth || kernel % 2 === 0) {
    throw new RangeError(
      `conv2d: expected a weight of shape (O, ${channels}, K, K) with odd K for images of shape [${x.shape.join(', ')}], ` +
        `got shape [${weight.shape.join(', ')}]`,
    );
  }
  return {
    samples,
    outChannels,
    window: { channels, height, width, kernel },
    inner: channels * kernel ** 2,
    pixels: height * width,
  };
}

/** The values of one sample of a batch, without copying. */
function sample(values: Float32Array, n: number, samples: number): Float32Array {
  const length = values.length / samples;
  return values.subarray(n * length, (n + 1) * length);
}

/** The linear layer. */

import { defineFunction, Module, Parameter, tensor, type Tensor } from 'syncbn';
import { type Random, uniform } from '../random.ts';
import { addSample } from './exact_sum.ts';
import { addProduct, addProductTransposed } from './matmul.ts';
import { savedTensor } from './saved.ts';
import { matrixSizes } from './sizes.ts';

/** `y = x · weightᵀ + bias`. Shapes: x (N, I), weight (O, I), bias (O), y (N, O). */
export const linear = defineFunction({
  name: 'linear',
  forward: async (context, x: Tensor, weight: Tensor, bias: Tensor) => {
    context.saveForBackward(x, weight);
    const { samples, inFeatures, outFeatures } = linearSizes(x, weight);
    const [input, matrix, offsets] = await Promise.all([x.data(), weight.data(), bias.data()]);
    const y = new Float32Array(samples * outFeatures);
    for (let n = 0; n < samples; n++) {
      y.set(offsets, n * outFeatures);
    }
    addProductTransposed(y, input, matrix, { rows: samples, inner: inFeatures, columns: outFeatures });
    return tensor(y, [samples, outFeatures], { device: x.device });
  },
  backward: async (context, dy) => {
    const x = savedTensor(context, 0);
    const weight = savedTensor(context, 1);
    const { samples, inFeatures, outFeatures } = linearSizes(x, weight);
    const [input, matrix, dOutput] = await Promise.all([x.data(), weight.data(), dy.data()]);
    const dx = new Float32Array(input.length);
    addProduct(dx, dOutput, matrix, { rows: samples, inner: outFeatures, columns: inFeatures });
    const dweight = new Float32Array(matrix.length);
    const dbias = new Float32Array(outFeatures);
    const part = new Float32Array(matrix.length);
    for (let n = 0; n < samples; n++) {
      const dOutputOfSample = dOutput.subarray(n * outFeatures, (n + 1) * outFeatures);
      const inputOfSample = input.subarray(n * inFeatures, (n + 1) * inFeatures);
      part.fill(0);
      addProduct(part, dOutputOfSample, inputOfSample, { rows: outFeatures, inner: 1, columns: inFeatures });
      addSample(dweight, part);
      addSample(dbias, dOutputOfSample);
    }
    const { device } = x;
    return [
      tensor(dx, x.shape, { device }),
      tensor(dweight, weight.shape, { device }),
      tensor(dbias, [outFeatures], { device }),
    ];
  },
});

/** A linear layer with bias. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(inFeatures: number, outFeatures: number, random: Random) {
    super();
    const initial = uniform(random, outFeatures * inFeatures, Math.sqrt(1 / inFeatures));
    this.weight = new Parameter(tensor(initial, [outFeatures, inFeatures]));
    this.bias = new Parameter(tensor(new Float32Array(outFeatures), [outFeatures]));
  }

  async forward(x: Tensor): Promise<Tensor> {
    return linear(x, this.weight, this.bias);
  }

  override extraRepr(): string {
    const [outFeatures, inFeatures] = this.weight.shape;
    return `in_features=${inFeatures}, out_features=${outFeatures}, bias=True`;
  }
}

function linearSizes(x: Tensor, weight: Tensor) {
  const [samples, inFeatures] = matrixSizes('linear', x);
  const [outFeatures, expected] = matrixSizes('linear', weight);
  if (inFeatures !== expected) {
    throw new RangeError(`linear: expected ${expected} features per sample, got shape [${x.shape.join(', ')}]`);
  }
  return { samples, inFeatures, outFeatures };
}

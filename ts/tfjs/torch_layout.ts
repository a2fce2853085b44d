/** How PyTorch lays out the weights of each kind of layer, and how tfjs does. */

import { permuted } from './permuted.ts';

/** One weight of a layer of tfjs, and the tensor of PyTorch that it comes from. */
export interface TorchWeight {
  /** Of the tensor, after the layer's prefix: `weight`. */
  readonly key: string;
  /** The tensor's shape in PyTorch. */
  readonly shape: readonly number[];
  /** The values in tfjs' order. */
  convert(values: Float32Array): Float32Array;
}

/** What is needed of a layer to tell its layout. */
export interface LayoutOptions {
  /** Shape (H, W, C) of the images that a dense layer's input was flattened from; `null` where it was not. */
  readonly flattenedFrom: readonly number[] | null;
}

type Rule = (shape: readonly number[], options: LayoutOptions) => TorchWeight;

/** The layouts by the class of a layer and the name of its weight. */
const rules: Readonly<Record<string, Readonly<Record<string, Rule>>>> = /* @__PURE__ */ rulesByClass();

/** A function, so that a bundle that does not read PyTorch's weights has none of them. */
function rulesByClass(): Record<string, Record<string, Rule>> {
  return {
    Conv1D: { kernel: convolution, bias: as('bias') },
    Conv2D: { kernel: convolution, bias: as('bias') },
    Conv3D: { kernel: convolution, bias: as('bias') },
    Conv2DTranspose: { kernel: convolution, bias: as('bias') },
    Conv3DTranspose: { kernel: convolution, bias: as('bias') },
    DepthwiseConv2D: { depthwise_kernel: depthwise('weight'), bias: as('bias') },
    SeparableConv2D: {
      depthwise_kernel: depthwise('depthwise.weight'),
      pointwise_kernel: (shape) => ({ ...convolution(shape), key: 'pointwise.weight' }),
      bias: as('pointwise.bias'),
    },
    Dense: { kernel: dense, bias: as('bias') },
    BatchNormalization: {
      gamma: as('weight'),
      beta: as('bias'),
      moving_mean: as('running_mean'),
      moving_variance: as('running_var'),
    },
    LayerNormalization: { gamma: as('weight'), beta: as('bias') },
    Embedding: { embeddings: as('weight') },
    PReLU: { alpha: slopes },
  };
}

/**
 * The layout of a weight.
 * @param className - of the layer in tfjs.
 * @param name - of the weight, without that of the layer.
 * @param shape - in tfjs.
 * @returns `null` where PyTorch has no such layer, or computes it in another way.
 */
export function torchWeight(
  className: string,
  name: string,
  shape: readonly number[],
  options: LayoutOptions,
): TorchWeight | null {
  return rules[className]?.[name]?.(shape, options) ?? null;
}

/** The same values in the same order. */
function as(key: string): Rule {
  return (shape) => ({ key, shape, convert: (values) => values });
}

/**
 * (…, in, out) of (out, in, …). Of a transposed convolution tfjs has (…, out, in) and PyTorch (in, out, …), which is the same change of places.
 */
function convolution(shape: readonly number[]): TorchWeight {
  const taps = shape.slice(0, -2);
  const [second = 0, first = 0] = shape.slice(-2);
  const from = [first, second, ...taps];
  const order = [...taps.map((_, i) => i + 2), 1, 0];
  return { key: 'weight', shape: from, convert: (values) => permuted(values, from, order) };
}

/** (H, W, C, M) of (C · M, 1, H, W): the filters of a channel are side by side in both. */
function depthwise(key: string): Rule {
  return ([height = 0, width = 0, channels = 0, multiplier = 0]) => ({
    key,
    shape: [channels * multiplier, 1, height, width],
    convert: (values) => permuted(values, [channels, multiplier, height, width], [2, 3, 0, 1]),
  });
}

/** (in, out) of (out, in). Where images were flattened, tfjs has them as (H, W, C) and PyTorch as (C, H, W). */
function dense([inputs = 0, outputs = 0]: readonly number[], { flattenedFrom }: LayoutOptions): TorchWeight {
  const shape = [outputs, inputs];
  if (flattenedFrom === null) {
    return { key: 'weight', shape, convert: (values) => permuted(values, shape, [1, 0]) };
  }
  const sizes = flattenedFrom.slice(0, -1);
  const channels = flattenedFrom.at(-1) ?? 0;
  const order = [...sizes.map((_, i) => i + 2), 1, 0];
  return { key: 'weight', shape, convert: (values) => permuted(values, [outputs, channels, ...sizes], order) };
}

/** One slope per channel, the last dimension of tfjs. */
function slopes(shape: readonly number[]): TorchWeight {
  const channels = shape.at(-1) ?? 0;
  const count = shape.reduce((product, size) => product * size, 1);
  const repeated = (values: Float32Array): Float32Array =>
    Float32Array.from({ length: count }, (_, i) => values[i % channels] ?? NaN);
  return { key: 'weight', shape: [channels], convert: repeated };
}

/** Random convolutions and poolings, whose gradients on one backend are compared with what is right. */

import * as tf from '@tensorflow/tfjs-core';
import { randomArray, randomUniform } from '../support/random.ts';

/** One comparison: a kernel, its case, and how far it is off, of the largest expected value. */
export interface Finding {
  readonly kernel: string;
  readonly text: string;
  readonly difference: number;
}

type Values = readonly [values: Float32Array, shape: number[]];
type Work = (...inputs: tf.Tensor[]) => tf.Tensor[];

/** Whole numbers of one seed, in turn. */
class Draws {
  readonly seed: number;
  #drawn = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(randomUniform(this.seed, this.#drawn++) * (most - least + 1));
  }

  oneOf<T>(choices: readonly T[]): T {
    return choices[this.between(0, choices.length - 1)] as T;
  }

  values(shape: number[], offset = 0): Values {
    const count = shape.reduce((a, b) => a * b, 1);
    return [randomArray(this.seed * 1000 + this.#drawn++, count, { offset }), shape];
  }
}

/** Names of the backends that are compared. */
export interface Sides {
  readonly reference: string;
  readonly tested: string;
}

/** The gradients of one case of each kind. */
export async function searchOnce(seed: number, sides: Sides): Promise<Finding[]> {
  const draws = new Draws(seed);
  return [
    ...(await convolution(draws, sides)),
    ...(await dilatedConvolution(draws, sides)),
    ...(await transposed(draws, sides)),
    ...(await pooling(draws, sides)),
    ...(await volumes(draws, sides)),
  ];
}

async function convolution(draws: Draws, sides: Sides): Promise<Finding[]> {
  const [n, c, o, m] = [draws.between(1, 9), draws.between(1, 9), draws.between(1, 9), draws.between(1, 2)];
  const size = [draws.between(3, 12), draws.between(3, 12)];
  const filter = draws.oneOf([[1, 1], [3, 3], [draws.between(1, 4), draws.between(1, 4)]]); // prettier-ignore
  const strides = [draws.between(1, 3), draws.between(1, 3)] as [number, number];
  const numbers: tf.backend_util.ExplicitPadding = [[0, 0], [draws.between(0, 2), 1], [0, draws.between(0, 2)], [0, 0]]; // prettier-ignore
  const pad = fits(size, filter) ? draws.oneOf(['same', 'valid', numbers] as const) : 'same';
  const text = JSON.stringify({ seed: draws.seed, n, size, c, o, m, filter, strides, pad });
  const x = draws.values([n, ...size, c]);
  const plain = (x: tf.Tensor, f: tf.Tensor): tf.Tensor => tf.conv2d(x as tf.Tensor4D, f as tf.Tensor4D, strides, pad);
  const deep = (x: tf.Tensor, f: tf.Tensor): tf.Tensor =>
    tf.depthwiseConv2d(x as tf.Tensor4D, f as tf.Tensor4D, strides, pad);
  return [
    ...(await compared(['conv2d', 'dx', 'dw'], text, sides, [x, draws.values([...filter, c, o])], gradientsOf(plain))),
    ...(await compared(
      ['depthwise', 'dx', 'dw'],
      text,
      sides,
      [x, draws.values([...filter, c, m])],
      gradientsOf(deep),
    )),
  ];
}

/** tfjs has no reference with dilations: there a filter with zeros between its taps. */
async function dilatedConvolution(draws: Draws, sides: Sides): Promise<Finding[]> {
  const [n, c, o, m] = [draws.between(1, 3), draws.between(1, 5), draws.between(1, 5), draws.between(1, 2)];
  const size = [draws.between(9, 14), draws.between(9, 14)];
  const filter = [draws.between(1, 3), draws.between(1, 3)];
  const rates = [draws.between(1, 3), draws.between(2, 3)] as [number, number];
  const pad = draws.oneOf(['same', 'valid'] as const);
  const text = JSON.stringify({ seed: draws.seed, n, size, c, o, m, filter, rates, pad });
  const x = draws.values([n, ...size, c]);
  const through = (convolve: typeof tf.conv2d) => (isReference: boolean) => (x: tf.Tensor, f: tf.Tensor) =>
    isReference
      ? convolve(x as tf.Tensor4D, widened(f as tf.Tensor4D, rates), 1, pad)
      : convolve(x as tf.Tensor4D, f as tf.Tensor4D, 1, pad, 'NHWC', rates);
  const both = async (name: string, convolve: typeof tf.conv2d, last: number): Promise<Finding[]> => {
    const work = through(convolve);
    const of = (isReference: boolean): Work => gradientsOf(work(isReference));
    return compared([name, 'dx', 'dw'], text, sides, [x, draws.values([...filter, c, last])], of(false), of(true));
  };
  return [
    ...(await both('conv2d, dilated', tf.conv2d, o)),
    ...(await both('depthwise, dilated', tf.depthwiseConv2d, m)),
  ];
}

/** The filter with `rates` less one zeros between its taps. */
function widened(filter: tf.Tensor4D, rates: readonly [number, number]): tf.Tensor4D {
  const [height, width, c, o] = filter.shape;
  const spread = tf.pad(tf.reshape<tf.Rank.R5>(filter, [height, 1, width, 1, c * o]), [[0, 0], [0, rates[0] - 1], [0, 0], [0, rates[1] - 1], [0, 0]]); // prettier-ignore
  const whole: tf.Tensor4D = tf.reshape(spread, [height * rates[0], width * rates[1], c, o]);
  return tf.slice(whole, [0, 0, 0, 0], [(height - 1) * rates[0] + 1, (width - 1) * rates[1] + 1, c, o]);
}

async function transposed(draws: Draws, sides: Sides): Promise<Finding[]> {
  const [n, c, o] = [draws.between(1, 3), draws.between(1, 5), draws.between(1, 5)];
  const size = [draws.between(2, 6), draws.between(2, 6)] as const;
  const stride = draws.between(1, 2);
  const filter = draws.between(stride, 3);
  const text = JSON.stringify({ seed: draws.seed, n, size, c, o, stride, filter });
  const shape = [n, size[0] * stride, size[1] * stride, o] as [number, number, number, number];
  const work = (x: tf.Tensor, f: tf.Tensor): tf.Tensor =>
    tf.conv2dTranspose(x as tf.Tensor4D, f as tf.Tensor4D, shape, stride, 'same');
  const inputs = [draws.values([n, ...size, c]), draws.values([filter, filter, o, c])];
  return compared(['transposed', 'dx', 'dw'], text, sides, inputs, gradientsOf(work));
}

async function pooling(draws: Draws, sides: Sides): Promise<Finding[]> {
  const [n, c] = [draws.between(1, 3), draws.between(1, 9)];
  const size = [draws.between(3, 9), draws.between(3, 9)];
  const window = [draws.between(1, 4), draws.between(1, 4)] as [number, number];
  const strides = [draws.between(1, 3), draws.between(1, 3)] as [number, number];
  const pad = fits(size, window) ? draws.oneOf(['same', 'valid'] as const) : 'same';
  const text = JSON.stringify({ seed: draws.seed, n, size, c, window, strides, pad });
  // Windows without a positive value are as usual as others.
  const x = draws.values([n, ...size, c], draws.oneOf([0, -4]));
  const max = (x: tf.Tensor): tf.Tensor => tf.maxPool(x as tf.Tensor4D, window, strides, pad);
  const mean = (x: tf.Tensor): tf.Tensor => tf.avgPool(x as tf.Tensor4D, window, strides, pad);
  const means = meansOf(window, c, (x, f) => tf.conv2d(x as tf.Tensor4D, f as tf.Tensor4D, strides, pad));
  return [
    ...(await compared(['maxPool', 'dx'], text, sides, [x], gradientsOf(max))),
    ...(await compared(['avgPool', 'dx'], text, sides, [x], gradientsOf(mean), gradientsOf(means))),
  ];
}

async function volumes(draws: Draws, sides: Sides): Promise<Finding[]> {
  const [n, c, o] = [draws.between(1, 2), draws.between(1, 4), draws.between(1, 4)];
  const size = [draws.between(3, 5), draws.between(3, 5), draws.between(3, 5)];
  // As wide as high: for others tfjs' cpu backend takes wrong positions of the largest value.
  const width = draws.between(1, 3);
  const window = [draws.between(1, 3), width, width] as [number, number, number];
  const strides = draws.between(1, 3);
  const pad = draws.oneOf(['same', 'valid'] as const);
  const text = JSON.stringify({ seed: draws.seed, n, size, c, o, window, strides, pad });
  // Windows without a positive value are as usual as others.
  const x = draws.values([n, ...size, c], draws.oneOf([0, -4]));
  const max = (x: tf.Tensor): tf.Tensor => tf.maxPool3d(x as tf.Tensor5D, window, strides, pad);
  const mean = (x: tf.Tensor): tf.Tensor => tf.avgPool3d(x as tf.Tensor5D, window, strides, pad);
  const convolve = (x: tf.Tensor, f: tf.Tensor): tf.Tensor =>
    tf.conv3d(x as tf.Tensor5D, f as tf.Tensor5D, strides, pad);
  const means = meansOf(window, c, convolve);
  return [
    ...(await compared(['maxPool3d', 'dx'], text, sides, [x], gradientsOf(max))),
    ...(await compared(['avgPool3d', 'dx'], text, sides, [x], gradientsOf(mean), gradientsOf(means))),
    ...(await compared(
      ['conv3d', 'dx', 'dw'],
      text,
      sides,
      [x, draws.values([...window, c, o])],
      gradientsOf(convolve),
    )),
  ];
}

/** Whether a window lies inside of the images somewhere. */
function fits(size: readonly number[], window: readonly number[]): boolean {
  return window.every((length, axis) => length <= (size[axis] ?? 0));
}

/**
 * Average pooling as sums over windows, by a convolution with ones, divided by the number of values in them. Its gradient is right on every backend;
 * tfjs' own pooling divides the gradient by the size of the window, padding included, but the values by how many there are.
 * @param convolve - of a filter that is given.
 */
function meansOf(
  window: readonly number[],
  channels: number,
  convolve: (x: tf.Tensor, filter: tf.Tensor) => tf.Tensor,
): (x: tf.Tensor) => tf.Tensor {
  return (x) => {
    const taps = [...window.map(() => 1), channels, channels];
    const filter = tf.tile(tf.reshape(tf.eye(channels), taps), [...window, 1, 1]);
    return tf.div(convolve(x, filter), convolve(tf.onesLike(x), filter));
  };
}

/** The outputs of a function and its gradients for a fixed dy. */
function gradientsOf(work: (...inputs: [tf.Tensor, tf.Tensor]) => tf.Tensor): Work {
  return (...inputs) => {
    const y = work(...(inputs as [tf.Tensor, tf.Tensor]));
    const dy = tf.tensor(randomArray(5, y.size), y.shape);
    return [y, ...tf.grads(work)(inputs, dy)];
  };
}

/** Runs `work` on the tested backend, and `expected` on the other. */
async function compared(
  [name = '', ...gradients]: string[],
  text: string,
  { reference, tested }: Sides,
  inputs: readonly Values[],
  work: Work,
  expected: Work = work,
): Promise<Finding[]> {
  const run = async (backend: string, some: Work): Promise<Float32Array[]> => {
    await tf.setBackend(backend);
    const results: Float32Array[] = [];
    tf.tidy(() => {
      const tensors = inputs.map(([values, shape]) => tf.tensor(values, shape));
      for (const result of some(...tensors)) results.push(result.dataSync().slice() as Float32Array);
    });
    return results;
  };
  const [right, found] = [await run(reference, expected), await run(tested, work)];
  return ['y', ...gradients].map((what, i) => ({
    kernel: `${name}, ${what}`,
    text,
    difference: distance(found[i] ?? new Float32Array(), right[i] ?? new Float32Array()),
  }));
}

/** Largest distance, of the largest expected value; infinite for NaN, and for other lengths. */
function distance(found: Float32Array, right: Float32Array): number {
  if (found.length !== right.length) return Infinity;
  const scale = right.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  const most = found.reduce((most, value, i) => Math.max(most, Math.abs(value - (right[i] ?? NaN))), 0);
  return Number.isNaN(most) ? Infinity : most / scale;
}

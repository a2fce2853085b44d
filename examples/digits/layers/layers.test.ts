import { tensor, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { permutation, randomStream, uniform } from '../random.ts';
import { conv2d } from './conv2d.ts';
import { crossEntropy } from './cross_entropy.ts';
import { flatten } from './flatten.ts';
import { expectGradientsToMatch, type GivenInput } from './gradient_check.ts';
import { linear } from './linear.ts';
import { maxPool2d } from './max_pool2d.ts';
import { relu } from './relu.ts';

describe('gradients equal finite differences', () => {
  it.each([
    ['3 × 3', 3, [2, 3, 6, 5], [4, 3, 3, 3]],
    ['1 × 1', 1, [2, 3, 4, 4], [5, 3, 1, 1]],
    ['5 × 5, larger than the image', 5, [1, 2, 3, 2], [2, 2, 5, 5]],
  ])('of a convolution with a kernel of %s', async (_name, _kernel, x, weight) => {
    await expectGradientsToMatch(conv2d, [randomInput(x, 1), randomInput(weight, 2)]);
  });

  it('of a linear layer', async () => {
    await expectGradientsToMatch(linear, [randomInput([3, 7], 3), randomInput([5, 7], 4), randomInput([5], 5)]);
  });

  it('of max pooling', async () => {
    await expectGradientsToMatch(maxPool2d, [spacedInput([2, 3, 4, 6])]);
  });

  it('of ReLU', async () => {
    await expectGradientsToMatch(relu, [spacedInput([2, 3, 4])]);
  });

  it('of flatten', async () => {
    await expectGradientsToMatch(flatten, [randomInput([2, 3, 2, 2], 6)]);
  });

  it('of the cross entropy', async () => {
    const labels = Uint8Array.of(0, 3, 1);
    await expectGradientsToMatch((logits) => crossEntropy(logits, labels), [randomInput([3, 4], 7)]);
  });
});

describe('values', () => {
  it('a_convolution_is_the_sum_over_its_window', async () => {
    const size = { samples: 2, channels: 3, height: 5, width: 4, outChannels: 2, kernel: 3 };
    const x = randomInput([size.samples, size.channels, size.height, size.width], 8);
    const weight = randomInput([size.outChannels, size.channels, size.kernel, size.kernel], 9);
    const y = await (await conv2d(tensor(x.values, x.shape), tensor(weight.values, weight.shape))).data();
    const expected = directConvolution(x.values, weight.values, size);
    expect(y.length).toBe(expected.length);
    y.forEach((value, i) => expect(value).toBeCloseTo(expected[i] ?? NaN, 5));
  });

  it('max_pooling_gives_ties_to_the_first', async () => {
    const x = tensor([2, 2, 2, 2], [1, 1, 2, 2], { requiresGrad: true });
    const y = await maxPool2d(x);
    await y.backward(tensor([5], [1, 1, 1, 1]));
    expect([...((await x.grad?.data()) ?? [])]).toEqual([5, 0, 0, 0]);
  });

  it('the_cross_entropy_of_equal_logits_is_the_logarithm_of_their_number', async () => {
    const loss = await crossEntropy(tensor(new Float32Array(20), [2, 10]), Uint8Array.of(3, 9));
    expect(await loss.item()).toBeCloseTo(Math.log(10), 6);
  });

  it('large_logits_do_not_overflow', async () => {
    const loss = await crossEntropy(tensor([1000, 0], [1, 2]), Uint8Array.of(1));
    expect(await loss.item()).toBe(1000);
  });
});

describe('parts of a batch give the bits of the whole', () => {
  const images = randomInput([8, 2, 6, 6], 11);
  const features = randomInput([8, 30], 12);
  const kernels = [randomInput([3, 2, 3, 3], 13)];
  const parameters = [randomInput([5, 30], 14), randomInput([5], 15)];
  const convolve: PartOperation = (x, [weight]) => conv2d(x, required(weight));
  const transform: PartOperation = (x, [weight, bias]) => linear(x, required(weight), required(bias));

  it.each([[[4, 4]], [[1, 1, 1, 1, 1, 1, 1, 1]], [[3, 5]], [[7, 1]]])('convolution, split %j', async (sizes) => {
    const whole = await runInParts(convolve, images, kernels, [8]);
    expect(await runInParts(convolve, images, kernels, sizes)).toEqual(whole);
  });

  it.each([[[4, 4]], [[1, 1, 1, 1, 1, 1, 1, 1]], [[3, 5]], [[7, 1]]])('linear, split %j', async (sizes) => {
    const whole = await runInParts(transform, features, parameters, [8]);
    expect(await runInParts(transform, features, parameters, sizes)).toEqual(whole);
  });
});

describe('bad input is refused', () => {
  it('by_the_convolution_for_other_channels', async () => {
    const run = conv2d(tensor(new Float32Array(16), [1, 1, 4, 4]), tensor(new Float32Array(18), [1, 2, 3, 3]));
    await expect(run).rejects.toThrow('expected a weight of shape (O, 1, K, K) with odd K');
  });

  it('by_the_convolution_for_an_even_kernel', async () => {
    const run = conv2d(tensor(new Float32Array(16), [1, 1, 4, 4]), tensor(new Float32Array(4), [1, 1, 2, 2]));
    await expect(run).rejects.toThrow('with odd K');
  });

  it('by_the_linear_layer_for_other_features', async () => {
    const run = linear(tensor([1, 2], [1, 2]), tensor([1, 2, 3], [1, 3]), tensor([0], [1]));
    await expect(run).rejects.toThrow('expected 3 features per sample, got shape [1, 2]');
  });

  it('by_max_pooling_for_odd_sides', async () => {
    await expect(maxPool2d(tensor(new Float32Array(6), [1, 1, 3, 2]))).rejects.toThrow(
      'expected even height and width',
    );
  });

  it('by_the_cross_entropy_for_a_missing_label', async () => {
    await expect(crossEntropy(tensor([1, 2], [1, 2]), new Uint8Array(0))).rejects.toThrow('expected 1 labels');
  });
});

function randomInput(shape: readonly number[], seed: number): GivenInput {
  return { shape, values: uniform(randomStream(seed, 0), elements(shape), 1) };
}

/** Distinct values, none of them near another or near zero: no step of the check crosses an edge of the function. */
function spacedInput(shape: readonly number[]): GivenInput {
  const count = elements(shape);
  const order = permutation(randomStream(10, 0), count);
  return { shape, values: Float32Array.from(order, (rank) => (rank - count / 2 + 0.5) / 8) };
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** What is run on a part of a batch. */
type PartOperation = (x: Tensor, parameters: readonly Tensor[]) => Promise<Tensor>;

/** Outputs and input gradients of all samples, and the parameters' gradients summed over parts, the last part first. */
async function runInParts(
  run: PartOperation,
  x: GivenInput,
  parameters: readonly GivenInput[],
  sizes: readonly number[],
): Promise<{ y: number[]; dx: number[]; sums: Float32Array[] }> {
  const [samples = 1, ...rest] = x.shape;
  const perSample = x.values.length / samples;
  const result = {
    y: [] as number[],
    dx: [] as number[],
    sums: parameters.map((p) => new Float32Array(p.values.length)),
  };
  let end = samples;
  for (const size of sizes) {
    const values = x.values.slice((end - size) * perSample, end * perSample);
    const part = tensor(values, [size, ...rest], { requiresGrad: true });
    const leaves = parameters.map((given) => tensor(given.values, given.shape, { requiresGrad: true }));
    const y = await run(part, leaves);
    // A sample's dy depends on the sample alone, and is small enough that the sums stay below the limit.
    const dy = Float32Array.from(await y.data(), (value) => Math.sin(value) / (8 * samples));
    await y.backward(tensor(dy, y.shape));
    result.y.unshift(...(await y.data()));
    result.dx.unshift(...required(await part.grad?.data()));
    for (const [i, leaf] of leaves.entries()) {
      const gradient = required(await leaf.grad?.data());
      result.sums[i] = required(result.sums[i]).map((sum, k) => sum + (gradient[k] ?? NaN));
    }
    end -= size;
  }
  return result;
}

function required<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error('expected a value');
  }
  return value;
}

/** The definition, one loop per letter. */
function directConvolution(
  x: Float32Array,
  weight: Float32Array,
  size: { samples: number; channels: number; height: number; width: number; outChannels: number; kernel: number },
): Float64Array {
  const { samples, channels, height, width, outChannels, kernel } = size;
  const y = new Float64Array(samples * outChannels * height * width);
  const pixel = (n: number, c: number, row: number, column: number): number =>
    row < 0 || row >= height || column < 0 || column >= width
      ? 0
      : (x[((n * channels + c) * height + row) * width + column] ?? NaN);
  y.forEach((_, i) => {
    const column = i % width;
    const row = Math.floor(i / width) % height;
    const out = Math.floor(i / (width * height)) % outChannels;
    const n = Math.floor(i / (width * height * outChannels));
    for (let k = 0; k < channels * kernel * kernel; k++) {
      const c = Math.floor(k / kernel ** 2);
      const shiftY = (Math.floor(k / kernel) % kernel) - (kernel - 1) / 2;
      const shiftX = (k % kernel) - (kernel - 1) / 2;
      const factor = weight[out * channels * kernel ** 2 + k] ?? NaN;
      y[i] = (y[i] ?? NaN) + factor * pixel(n, c, row + shiftY, column + shiftX);
    }
  });
  return y;
}

/** Compares what a function's backward computes with what its forward does when an input is moved a little. */

import { tensor, type Tensor } from 'syncbn';
import { expect } from 'vitest';
import { randomStream, uniform } from '../random.ts';

/** A differentiable function of the library's tensors. */
type Differentiable = (...inputs: Tensor[]) => Promise<Tensor>;

/** One input: its shape and its values. */
export interface GivenInput {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/**
 * How far each value is moved either way. Large enough that the f32 rounding of the outputs does not count, and exact for
 * functions that are linear in each input, or piecewise linear with no edge that near.
 */
const SHIFT = 2 ** -6;

/** Of the largest gradient: f32 rounding of the outputs, divided by the shift, summed over them. */
const TOLERANCE = 2e-4;

/** Expects the gradient of every input to be the central difference of `Σ y · dy`, for a random dy. */
export async function expectGradientsToMatch(run: Differentiable, inputs: readonly GivenInput[]): Promise<void> {
  const tensors = inputs.map(({ values, shape }) => tensor(values, shape, { requiresGrad: true }));
  const y = await run(...tensors);
  const weights = uniform(randomStream(99, 0), (await y.data()).length, 1);
  await y.backward(tensor(weights, y.shape));

  for (const [i, { values }] of inputs.entries()) {
    const computed = await gradientOf(tensors[i]);
    const expected = new Float32Array(values.length);
    for (let k = 0; k < values.length; k++) {
      const sumAt = async (shift: number): Promise<number> => {
        const moved = inputs.map((input) => ({ ...input, values: input.values.slice() }));
        moved[i]?.values.set([(values[k] ?? NaN) + shift], k);
        const output = await (await run(...moved.map((input) => tensor(input.values, input.shape)))).data();
        return output.reduce((sum, value, j) => sum + value * (weights[j] ?? NaN), 0);
      };
      expected[k] = ((await sumAt(SHIFT)) - (await sumAt(-SHIFT))) / (2 * SHIFT);
    }
    const scale = Math.max(...expected.map(Math.abs));
    expect(scale, `gradient of input ${i} is not zero everywhere`).toBeGreaterThan(0);
    const worst = Math.max(...expected.map((value, k) => Math.abs(value - (computed[k] ?? NaN))));
    expect(worst / scale, `gradient of input ${i}`).toBeLessThan(TOLERANCE);
  }
}

async function gradientOf(input: Tensor | undefined): Promise<Float32Array> {
  const gradient = input?.grad ?? null;
  if (gradient === null) {
    throw new Error('expected backward to compute a gradient for every input');
  }
  return gradient.data();
}

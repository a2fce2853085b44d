/**
 * What `consumer.ts` must give. Its input is −1 and 1 in turn: mean 0, variance 1, so x̂ = x·s with s = 1/√(1 + eps), and for
 * dy = e₀ of n = 8: dx = s·(e₀ − 1/n − x̂·x̂₀/n).
 */

import { expect } from 'vitest';
import type { StepResult } from './consumer.ts';

const n = 8;
const s = 1 / Math.sqrt(1 + 1e-5);
const normalized = Array.from({ length: n }, (_, i) => (i % 2 === 0 ? -s : s));
const inputGradient = normalized.map((value, i) => s * ((i === 0 ? 1 : 0) - 1 / n - (value * -s) / n));

/** Equal to the formula to six decimal places: what is tested here is that the package runs, not its last digit. */
export const expectedStep: StepResult = {
  output: normalized.map(near),
  inputGradient: inputGradient.map(near),
  runningMean: [near(0)],
};

function near(value: number): number {
  return expect.closeTo(value, 6) as number;
}

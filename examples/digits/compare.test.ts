import { expect, it } from 'vitest';
import { largestDifference } from './compare.ts';

it('the_largest_difference_counts_either_direction', () => {
  expect(largestDifference(Float32Array.of(1, 2, 3), Float32Array.of(1.5, 2, 1))).toBe(2);
});

it('nothing_differs_from_itself', () => {
  expect(largestDifference(Float32Array.of(1, 2), Float32Array.of(1, 2))).toBe(0);
});

it.each([
  ['on the left', Float32Array.of(5, NaN, 1), Float32Array.of(1, 1, 1)],
  ['on the right', Float32Array.of(1, 1, 1), Float32Array.of(5, NaN, 1)],
])('nan %s is never close', (_side, a, b) => {
  expect(largestDifference(a, b)).toBeNaN();
});

it('arrays_of_different_length_are_refused', () => {
  expect(() => largestDifference(new Float32Array(2), new Float32Array(3))).toThrow('got 2 and 3');
});

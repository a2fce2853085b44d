import { expect, test } from 'vitest';
import { percentile, summarize } from './statistics.ts';

test('the minimum is the least sample, wherever it stands', () => {
  expect(summarize([5, 2, 9, 3, 4]).minimum).toBe(2);
});

test('the median of an odd number of samples is the middle one, numbers compared as numbers', () => {
  expect(summarize([100, 9, 20]).median).toBe(20);
});

test('the median of an even number of samples lies halfway between the middle ones', () => {
  expect(summarize([4, 1, 2, 30]).median).toBe(3);
});

test('the spread is how far the median lies above the minimum', () => {
  expect(summarize([2, 3, 10]).spread).toBeCloseTo(0.5);
  expect(summarize([7]).spread).toBe(0);
});

test('the samples are left in their order', () => {
  const samples = [3, 1, 2];
  summarize(samples);
  expect(samples).toEqual([3, 1, 2]);
});

test.each([[[]], [[1, 0]], [[1, Number.NaN]], [[-1]]])('%j is no list of times', (samples) => {
  expect(() => summarize(samples)).toThrow(RangeError);
});

test('a percentile is a sample that so many do not exceed', () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(percentile(samples, 0.5)).toBe(50);
  expect(percentile(samples, 0.95)).toBe(95);
  expect(percentile([7], 0.95)).toBe(7);
  expect(percentile([], 0.5)).toBeNaN();
});

import { expect, test } from 'vitest';
import { compare } from './agreement.ts';

const expected = { y: [1, -100, 3], dx: [0.5] };

test('equal results agree', () => {
  expect(() => compare('A', expected, expected)).not.toThrow();
});

test('an error within a ten-thousandth of the largest value is granted, a larger one is not', () => {
  expect(() => compare('A', { ...expected, y: [1.009, -100, 3] }, expected)).not.toThrow();
  expect(() => compare('A', { ...expected, y: [1.011, -100, 3] }, expected)).toThrow('A: y[0] is 1.011, expected 1');
});

test('NaN agrees with nothing', () => {
  expect(() => compare('A', { ...expected, y: [1, -100, Number.NaN] }, expected)).toThrow('y[2] is NaN');
});

test('absent and shortened results are refused', () => {
  expect(() => compare('A', { y: expected.y }, expected)).toThrow('A: expected 1 values of dx, got none');
  expect(() => compare('A', { ...expected, y: [1] }, expected)).toThrow('A: expected 3 values of y, got 1');
});

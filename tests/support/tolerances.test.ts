import { describe, expect, it } from 'vitest';
import { expectWithin, largestDifference, type Known } from './tolerances.ts';

function stableOutput(actual: number[], expected: number[], known?: Known): () => void {
  return () => {
    expectWithin('stable numerics against f64', 'output', actual, expected, 'y', known);
  };
}

function stableRunning(actual: number[], expected: number[], known?: Known): () => void {
  return () => {
    expectWithin('stable numerics against f64', 'running', actual, expected, 'running_var', known);
  };
}

function stableGradient(actual: number[], expected: number[], known?: Known): () => void {
  return () => {
    expectWithin('stable numerics against f64', 'gradient', actual, expected, 'dx', known);
  };
}

describe('expectWithin', () => {
  it('accepts what lies on the limit', () => {
    expect(stableOutput([1 + 2 ** -22], [1])).not.toThrow();
  });

  it('refuses what lies just beyond', () => {
    expect(stableOutput([1 + 2 ** -22 + 2 ** -40], [1])).toThrow(/\[0\] got 1\.0000002/);
  });

  it('measures from the largest element where the table says so', () => {
    expect(stableOutput([1e-6, 8], [0, 8])).not.toThrow();
    expect(stableOutput([1e-6, 1], [0, 1])).toThrow();
  });

  it('grants as much as PyTorch errs, and no more', () => {
    expect(stableOutput([1.25], [1], { pytorchError: 0.25 })).not.toThrow();
    expect(stableOutput([1.25], [1], { pytorchError: 0.24 })).toThrow();
  });

  it('grants a share of the largest term of a sum', () => {
    expect(stableRunning([1e-6], [0], { terms: [3] })).not.toThrow();
    expect(stableRunning([1e-6], [0], { terms: [2] })).toThrow();
  });

  it.each([
    ['got', [NaN], [1]],
    ['expected', [1], [NaN]],
    ['got and expected', [NaN], [NaN]],
  ])('refuses a NaN %s', (_, actual, expected) => {
    expect(stableOutput(actual, expected)).toThrow();
  });

  it('accepts the non-finite values of a case that has them, where they belong', () => {
    expect(stableOutput([NaN, Infinity, 1], [NaN, Infinity, 1 + 2 ** -22], { nonFinite: true })).not.toThrow();
    expect(stableOutput([NaN, Infinity, 1], [NaN, Infinity, 2], { nonFinite: true })).toThrow();
    expect(stableOutput([1, Infinity, 1], [NaN, Infinity, 1], { nonFinite: true })).toThrow();
    expect(stableOutput([NaN, NaN, 1], [NaN, Infinity, 1], { nonFinite: true })).not.toThrow();
    expect(stableOutput([NaN, Infinity, NaN], [NaN, Infinity, 1], { nonFinite: true })).toThrow();
  });

  it('takes the scale of a gradient for its largest element, and of nothing else', () => {
    expect(stableGradient([1e-5], [0], { scale: 1 })).not.toThrow();
    expect(stableGradient([1e-5], [0], { scale: 0.9 })).toThrow();
    expect(stableOutput([1], [1], { scale: 1 })).toThrow(RangeError);
  });

  it('adds what is granted whatever the values are', () => {
    const gpuOutput = (actual: number, expected: number) => (): void =>
      expectWithin('WebGPU against f64', 'output', [actual], [expected], 'y');
    expect(gpuOutput(0.99e-5, 0)).not.toThrow();
    expect(gpuOutput(1.01e-5, 0)).toThrow();
    expect(gpuOutput(1 + 1.99e-5, 1)).not.toThrow();
    expect(gpuOutput(1 + 2.01e-5, 1)).toThrow();
  });

  it('refuses when what PyTorch errs is NaN', () => {
    expect(stableOutput([1.25], [1], { pytorchError: NaN })).toThrow();
  });

  it('asks for bits where the table grants nothing', () => {
    expect(() => {
      expectWithin('torch numerics against PyTorch', 'output', [-0], [0], 'y');
    }).toThrow();
  });

  it('refuses a tolerance looser than the table', () => {
    expect(stableOutput([1], [1], { tighter: { ulpsOfLargest: 1 } })).not.toThrow();
    expect(stableOutput([1], [1], { tighter: { ulpsOfLargest: 3 } })).toThrow(RangeError);
    expect(stableOutput([1], [1], { tighter: { relative: 1e-9 } })).toThrow(RangeError);
    expect(stableOutput([1], [1], { tighter: { ulpsOfLargest: NaN } })).toThrow(RangeError);
  });
});

describe('largestDifference', () => {
  it('is NaN when an element is missing or NaN', () => {
    expect(largestDifference([1], [1, 2])).toBeNaN();
    expect(largestDifference([NaN], [1])).toBeNaN();
    expect(largestDifference([1, 5], [1, 3])).toBe(2);
  });
});

import { describe, expect, it } from 'vitest';
import { randomArray } from './random.ts';
import { referenceBackward, referenceForward, type ReferenceLayer } from './reference.ts';

const plain: ReferenceLayer = {
  weight: null,
  bias: null,
  runningMean: null,
  runningVar: null,
  eps: 0.5,
  momentum: 0.25,
  batchStatistics: true,
};

describe('referenceForward', () => {
  it('normalizes a batch that can be worked out by hand', () => {
    // One channel with the values 1, 3, 5, 7: mean 4, variance 5, unbiased 20/3.
    const layer = { ...plain, eps: 11, weight: [12], bias: [1], runningMean: [8], runningVar: [3] };
    const result = referenceForward([1, 3, 5, 7], [2, 1, 2], layer);
    expect([...result.y]).toEqual([-8, -2, 4, 10]);
    expect(result.runningMean?.[0]).toBe(7);
    expect(result.runningVar?.[0]).toBeCloseTo(0.25 * (20 / 3) + 0.75 * 3, 14);
    expect(result.runningMeanTerm[0]).toBe(6);
    expect(result.runningVarTerm[0]).toBe(2.25);
  });

  it('keeps channels apart', () => {
    const result = referenceForward([1, 1, 10, 30, 3, 3, 50, 70], [2, 2, 2], plain);
    expect([...result.mean]).toEqual([2, 40]);
    expect([...result.varBiased]).toEqual([1, 500]);
  });

  it('uses the running statistics in evaluation and leaves them alone', () => {
    const layer = { ...plain, batchStatistics: false, runningMean: [1], runningVar: [15.5] };
    const result = referenceForward([5, 9], [2, 1], layer);
    expect([...result.y]).toEqual([1, 2]);
    expect(result.runningMean).toEqual(Float64Array.of(1));
    expect(result.runningVar).toEqual(Float64Array.of(15.5));
  });

  it('leaves the running statistics alone when the batch is empty', () => {
    const result = referenceForward([], [0, 1, 3], { ...plain, runningMean: [2], runningVar: [7] });
    expect(result.y).toHaveLength(0);
    expect([result.runningMean?.[0], result.runningVar?.[0]]).toEqual([2, 7]);
  });

  it('keeps an infinity in its channel', () => {
    const layer = { ...plain, runningMean: [0, 0], runningVar: [1, 1] };
    const result = referenceForward([Infinity, 1, 1, 3], [2, 2], layer);
    expect([...result.y]).toEqual([NaN, expect.any(Number), NaN, expect.any(Number)]);
    expect([...(result.runningMean ?? [])]).toEqual([Infinity, 0.5]);
    expect([...(result.runningVar ?? [])]).toEqual([NaN, 1.25]);
  });

  it('loses nothing to a mean far above the deviation', () => {
    const x = randomArray(5, 600, { scale: 0.5, offset: 2 ** 20 });
    const shifted = x.map((value) => value - 2 ** 20);
    const [far, near] = [referenceForward(x, [6, 1, 100], plain), referenceForward(shifted, [6, 1, 100], plain)];
    expect(far.varBiased[0]).toBeCloseTo(near.varBiased[0] ?? NaN, 12);
  });
});

describe('referenceBackward', () => {
  const shape = [3, 2, 4];
  const layer = { ...plain, weight: [0.5, -2], bias: [1, 3], runningMean: [0.25, -1], runningVar: [2, 0.75] };
  const x = [...randomArray(1, 24)];
  const dy = [...randomArray(2, 24)];

  /** Σ dy·y, whose derivatives the backward pass computes. */
  function loss(input: readonly number[], of: ReferenceLayer): number {
    return referenceForward(input, shape, of).y.reduce((sum, value, i) => sum + value * (dy[i] ?? NaN), 0);
  }

  /** The derivative by a central difference. */
  function slope(at: (step: number) => number): number {
    return (at(1e-5) - at(-1e-5)) / 2e-5;
  }

  function replaced(values: readonly number[], i: number, step: number): number[] {
    return values.map((value, j) => (i === j ? value + step : value));
  }

  it.each([
    ['batch', true],
    ['running', false],
  ])('agrees with differences of the forward pass on %s statistics', (_, batchStatistics) => {
    const used = { ...layer, batchStatistics };
    const result = referenceBackward(x, dy, shape, used, referenceForward(x, shape, used));
    const dx = x.map((_value, i) => slope((step) => loss(replaced(x, i, step), used)));
    const dweight = used.weight.map((_value, c) =>
      slope((step) => loss(x, { ...used, weight: replaced(used.weight, c, step) })),
    );
    const dbias = used.bias.map((_value, c) =>
      slope((step) => loss(x, { ...used, bias: replaced(used.bias, c, step) })),
    );
    expect([...result.dx].map(rounded)).toEqual(dx.map(rounded));
    expect([...result.dweight].map(rounded)).toEqual(dweight.map(rounded));
    expect([...result.dbias].map(rounded)).toEqual(dbias.map(rounded));
  });

  /** To the digits that a difference quotient has; `+ 0` turns −0 into 0. */
  function rounded(value: number): number {
    return Math.round(value * 1e7) / 1e7 + 0;
  }
});

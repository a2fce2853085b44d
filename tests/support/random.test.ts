import { describe, expect, it } from 'vitest';
import { randomArray, randomBits, randomNormal, randomUniform } from './random.ts';

describe('randomArray', () => {
  it('gives the same bits for the same seed, and other ones for another', () => {
    expect(randomArray(7, 50)).toEqual(randomArray(7, 50));
    expect(randomArray(7, 50)).not.toEqual(randomArray(8, 50));
  });

  it('begins like any longer array of the same seed', () => {
    expect(randomArray(3, 10)).toEqual(randomArray(3, 100).slice(0, 10));
  });

  it('has the mean and the deviation asked for', () => {
    const values = randomArray(1, 40_000, { scale: 3, offset: 10 });
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean - 10)).toBeLessThan(0.05);
    expect(Math.abs(Math.sqrt(variance) - 3)).toBeLessThan(0.03);
  });

  it('fills [0, 1) when uniform', () => {
    const values = randomArray(2, 40_000, { distribution: 'uniform' });
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.min(...values)).toBeLessThan(1e-3);
    expect(Math.max(...values)).toBeLessThan(1);
    expect(Math.max(...values)).toBeGreaterThan(0.999);
  });
});

describe('an edit', () => {
  it('overwrites every stride-th element from start on', () => {
    const edited = randomArray(4, 7, { edits: [{ start: 1, count: 3, stride: 2, value: 9 }] });
    const plain = randomArray(4, 7);
    expect([...edited]).toEqual([plain[0], 9, plain[2], 9, plain[4], 9, plain[6]]);
  });
});

describe('the formula', () => {
  // The same three numbers stand in golden/formula.py and in crates/core/tests/golden/formula.rs.
  it('gives the bits that the golden data was made from', () => {
    expect(randomBits(1, 2)).toBe(2788919815);
    expect(randomUniform(1, 2)).toBe(0.6493459939956665);
    expect(randomNormal(1, 2)).toBe(-1.1175930500030518);
  });
});

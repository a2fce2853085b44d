import { describe, expect, it } from 'vitest';
import { linearScale, logScale } from './scale.ts';

describe('axes', () => {
  it.each([
    [0, 400],
    [0, 1],
    [0.873, 1],
    [0, 2.31],
    [0, 3],
    [0.5, 0.5],
  ])('a linear axis from %f to %f has a few round labels inside', (low, high) => {
    const { ticks, place } = linearScale(low, high);
    expect(ticks.length).toBeGreaterThanOrEqual(2);
    expect(ticks.length).toBeLessThanOrEqual(7);
    for (const tick of ticks) {
      expect(place(tick)).toBeGreaterThanOrEqual(-1e-9);
      expect(place(tick)).toBeLessThanOrEqual(1 + 1e-9);
      expect(String(tick).length).toBeLessThanOrEqual(5);
    }
  });

  it.each([
    [3e-8, 0.2],
    [1, 1],
    [1e-9, 1e9],
  ])('a logarithmic axis from %f to %f covers both in whole decades', (low, high) => {
    const { ticks, place } = logScale(low, high);
    expect(place(low)).toBeGreaterThanOrEqual(0);
    expect(place(high)).toBeLessThanOrEqual(1);
    expect(ticks.length).toBeGreaterThanOrEqual(2);
    expect(ticks.length).toBeLessThanOrEqual(7);
  });

  it('a power of ten is written with its exponent', () => {
    expect(logScale(1e-7, 1).format(1e-7)).toBe('10⁻⁷');
  });
});

import { expect, it } from 'vitest';
import { runsFor } from './runs.ts';
import { formatDifference, formatTable, LEGEND, summarize } from './summary.ts';

it('fits_a_terminal_of_eighty_columns', () => {
  const records = runsFor(32, 64).map((run) => ({
    run,
    losses: [2.5],
    checkpoints: [{ step: 1, accuracy: 1, weights: Float32Array.of(run.devices) }],
    logits: Float32Array.of(1),
    samplesPerSecond: 10_000,
  }));
  const lines = `${formatTable(summarize(records))}\n${LEGEND}`.split('\n');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
});

it.each([
  [undefined, '–'],
  [0, '0'],
  [12.96, '13'],
  [0.0204, '0.02'],
  [2.34e-7, '2.3e-7'],
])('writes_a_difference_of_%s_as_%s', (difference, text) => {
  expect(formatDifference(difference)).toBe(text);
});

import { expect, test } from 'vitest';
import { rowsOf, verdictOn } from './compare.ts';
import type { Measurement } from './measure.ts';
import { summarize } from './statistics.ts';

/** One launch in which both builds gave these samples. */
function launch(ours: readonly number[], others: readonly number[]): Measurement[] {
  const measured = (contender: string, samples: readonly number[]): Measurement => {
    return { workload: '4x16x8x8', contender, pass: 'step', samples, ...summarize(samples) };
  };
  return [measured('syncbn', ours), measured('other/syncbn', others)];
}

test('a row is the ratio of neighbouring samples, so that a disturbance of both is none', () => {
  expect(rowsOf([launch([2, 20, 2], [1, 10, 1])])).toMatchObject([
    { workload: '4x16x8x8', contender: 'syncbn', pass: 'step', ours: 2, others: 1, ratios: [2] },
  ]);
});

test('a contender that only one build has measured is no row', () => {
  expect(rowsOf([launch([1], [1]).slice(0, 1)])).toEqual([]);
});

test.each([
  ['not slower', [1.02, 1.02]],
  ['unclear', [1.021, 1.02]],
  ['slower', [1.021, 1.03]],
  ['slower', [Number.NaN]],
] as const)('a row is %s where its launches have %j', (verdict, ratios) => {
  expect(verdictOn({ workload: '', contender: '', pass: 'step', ours: 1, others: 1, ratios })).toBe(verdict);
});

import { expect, test } from 'vitest';
import type { ContenderName } from '../contenders.ts';
import type { Measurement } from '../measure.ts';
import { summarize } from '../statistics.ts';
import { judgeParallel, type ParallelMeasurements } from './figures.ts';
import type { MeetingTime, Transport } from './meeting.ts';

function step(workload: string, contender: ContenderName, seconds: number): Measurement {
  return { workload, contender, pass: 'step', samples: [seconds], ...summarize([seconds]) };
}

function meeting(transport: Transport, p50: number, bytes = 2048): MeetingTime {
  return { transport, workers: 2, bytes, p50, p95: p50, count: 1 };
}

/** Every figure exactly at its limit. */
const atLimit: ParallelMeasurements = {
  steps: [
    step('resnet50:16', 'synchronized-1', 1.7),
    step('resnet50:16', 'synchronized-2', 1),
    step('resnet50:16', 'pytorch-2', 2),
    step('8x64x128x128', 'synchronized-2', 1.1),
    step('8x64x128x128', 'unsynchronized-2', 1),
  ],
  meetings: [meeting('bare', 2), meeting('posted', 3), meeting('exchanged', 2), meeting('exchanged', 99, 0)],
  scatterGather: { bytes: 1, copy: 1, scatterGather: 3 },
};

test('figures at their limits are reached', () => {
  const verdicts = judgeParallel(atLimit);
  expect(verdicts).toHaveLength(6);
  for (const verdict of verdicts) expect(verdict).toMatchObject({ margin: 1, missed: [], unmeasured: [] });
});

test.each<[number, Partial<ParallelMeasurements>]>([
  [0, { steps: [...atLimit.steps.slice(1), step('resnet50:16', 'synchronized-1', 1.69)] }],
  [
    1,
    {
      steps: [
        ...atLimit.steps.filter(({ contender }) => contender !== 'pytorch-2'),
        step('resnet50:16', 'pytorch-2', 1.9),
      ],
    },
  ],
  [2, { meetings: [meeting('bare', 2), meeting('posted', 3.1), meeting('exchanged', 2)] }],
  [3, { meetings: [meeting('bare', 2), meeting('posted', 3), meeting('exchanged', 2.1)] }],
  [4, { steps: [...atLimit.steps.slice(0, 4), step('8x64x128x128', 'unsynchronized-2', 0.9)] }],
  [5, { scatterGather: { bytes: 1, copy: 1, scatterGather: 3.1 } }],
])('figure %i is missed beyond its limit, and it alone', (index, change) => {
  const verdicts = judgeParallel({ ...atLimit, ...change });
  expect(verdicts.flatMap(({ missed }, i) => (missed.length > 0 ? [i] : []))).toEqual([index]);
});

test('what was not measured is neither reached nor missed', () => {
  const verdicts = judgeParallel({ ...atLimit, steps: [], meetings: [] });
  expect(verdicts.slice(0, 5).map(({ margin, missed }) => [margin, missed.length])).toEqual(Array(5).fill([null, 0]));
});

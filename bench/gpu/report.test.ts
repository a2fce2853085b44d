import { expect, test } from 'vitest';
import { gpuContendersOf } from '../contenders.ts';
import type { GpuCounts } from '../engine.ts';
import { workloads } from '../workloads.ts';
import { csv } from './report.ts';

const SMALL = '4x16x8x8';
const small = workloads.filter(({ name }) => name === SMALL);

function counts(dispatches: number, bytesMoved: number): GpuCounts {
  return { dispatches, submits: 0, bytesBound: 8, buffers: 0, pipelines: 0, maps: 0, bytesMoved };
}

test.each([
  // Of our own step both passes are counted, of a framework that cannot split it the whole was counted as one.
  ['syncbn', '5,16,70'],
  ['tfjs', '3,8,40'],
] as const)('a line of %s gives times and counts of the step', (short, tail) => {
  const contender = `node/${short}` as const;
  const one = {
    workload: SMALL,
    contender,
    samples: [0.002, 0.003],
    count: 2,
    minimum: 0.002,
    median: 0.0025,
    spread: 0.25,
  };
  const work = [{ workload: SMALL, contender, forward: counts(2, 30), backward: counts(3, 40) }];
  const text = csv(small, gpuContendersOf('node'), { measurements: [{ ...one, pass: 'step' }], work });
  expect(text.split('\n')[1]).toBe(`node,${short},${SMALL},step,2.00000,2.50000,2,${tail}`);
});

import { expect, test } from 'vitest';
import type { GpuContenderName } from '../contenders.ts';
import type { GpuCounts, Pass } from '../engine.ts';
import type { Measurement } from '../measure.ts';
import { workloads } from '../workloads.ts';
import { judgeGpu, roundTrips } from './figures.ts';

const LAYER = '8x64x128x128';
const layer = workloads.filter(({ name }) => name === LAYER);
const bytes = 8 * 64 * 128 * 128 * 4;

function measured(contender: GpuContenderName, pass: Pass, seconds: number): Measurement {
  const summary = { count: 1, minimum: seconds, median: seconds, spread: 0 };
  return { workload: LAYER, contender: `node/${contender}`, pass, samples: [seconds], ...summary };
}

function counts(given: Partial<GpuCounts>): GpuCounts {
  return { dispatches: 0, submits: 0, bytesBound: 0, buffers: 0, pipelines: 0, maps: 0, ...given };
}

/** The verdict whose figure contains a text. */
function verdict(text: string, measurements: readonly Measurement[], forward: Partial<GpuCounts> = {}) {
  const work = [{ workload: LAYER, contender: 'node/syncbn', forward: counts(forward), backward: counts({}) }];
  const found = judgeGpu('node', layer, { measurements, work }).find(({ figure }) => figure.includes(text));
  if (found === undefined) throw new Error(`no figure says ${text}`);
  return found;
}

test.each([
  ['bytes read and written', { bytesMoved: 8.2 * bytes }, { bytesMoved: 8.3 * bytes }],
  ['dispatches', { dispatches: 6 }, { dispatches: 7 }],
  ['new buffers', {}, { buffers: 1 }],
  ['new buffers', {}, { pipelines: 1 }],
])('%s: the limit itself is kept, one beyond it is not', (text, kept, missed) => {
  expect(verdict(text, [], kept).missed).toEqual([]);
  expect(verdict(text, [], missed).missed).toHaveLength(1);
});

test.each([
  ['jax-js', 'step', 'jax-js', 'syncbn', 5],
  ['tfjs', 'step', 'tfjs', 'syncbn', 50],
  ['moments', 'forward', 'copy', 'moments', 0.6],
] as const)('%s: exactly the factor is reached, less is not', (text, pass, slow, fast, factor) => {
  const run = (seconds: number) => verdict(text, [measured(slow, pass, seconds), measured(fast, pass, 1)]);
  expect(run(factor).missed).toEqual([]);
  expect(run(factor * 0.99).missed).toHaveLength(1);
});

test('a contender that was not measured reaches nothing and misses nothing', () => {
  expect(verdict('tfjs', [])).toMatchObject({ margin: null, missed: [], unmeasured: [LAYER] });
});

test('what a meeting adds is told in round trips of one layer', () => {
  const run = [
    measured('synchronized', 'forward', 7),
    measured('apart', 'forward', 4),
    measured('round-trip', 'forward', 2),
  ];
  const [workload] = layer;
  expect(workload && roundTrips(run, 'node', workload, 'forward')).toBe(1.5);
  expect(workload && roundTrips(run.slice(0, 2), 'node', workload, 'forward')).toBeNull();
  expect(verdict('meeting of 2 devices, forward', run).missed).toEqual([]);
  expect(
    verdict('meeting of 2 devices, forward', [measured('synchronized', 'forward', 9), ...run.slice(1)]).missed,
  ).toHaveLength(1);
});

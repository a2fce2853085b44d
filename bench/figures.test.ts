import { describe, expect, test } from 'vitest';
import { speedFigures } from './cpu.ts';
import type { Pass } from './engine.ts';
import { atLeast, atMost, judge, secondsOf, type Verdict } from './figures.ts';
import { gpuFigures } from './gpu/suite.ts';
import type { Findings, Measurement, StepCount } from './measure.ts';
import type { MeetingTime, Transport } from './parallel/meeting.ts';
import { type ParallelExtras, parallelFigures } from './parallel/suite.ts';
import { summarize } from './statistics.ts';
import { workloads } from './workloads.ts';

function measured(workload: string, contender: string, seconds: number, pass: Pass = 'step'): Measurement {
  return { workload, contender, pass, samples: [seconds], ...summarize([seconds]) };
}

function findings(measurements: readonly Measurement[], counts: readonly StepCount[] = []): Findings {
  return { measurements, counts, failures: [] };
}

/** The only verdict whose figure contains a text. */
function the(text: string, verdicts: readonly Verdict[]): Verdict {
  const [found, ...others] = verdicts.filter(({ figure }) => figure.includes(text));
  if (found === undefined || others.length > 0) throw new Error(`${others.length + 1} figures say ${text}`);
  return found;
}

describe('a limit', () => {
  test.each([
    [atLeast('', 2, [{ label: 'a', value: 2 }]), { margin: 1, missed: [] }],
    [atLeast('', 2, [{ label: 'a', value: 4 }]), { margin: 2, missed: [] }],
    [atLeast('', 2, [{ label: 'a', value: 1.99 }]), { missed: ['a 1.99×'] }],
    [atMost('', 60, 'KB', 60), { margin: 1, missed: [] }],
    [atMost('', 60, 'KB', 66), { missed: ['66 KB'] }],
    [atMost('', 0, 'bytes', 0), { margin: 1, missed: [] }],
    [atMost('', 60, 'KB', Number.NaN), { missed: ['NaN KB'] }],
    [atMost('', 60, 'KB', null), { margin: null, missed: [], got: '' }],
  ])('%# is reached at itself and missed beyond', (figure, verdict) => {
    expect(judge(figure)).toMatchObject(verdict);
  });

  test('is as good as its worst case, and names those that were not measured', () => {
    const cases = [3, 2, null].map((value, i) => ({ label: `case ${i}`, value }));
    expect(judge(atLeast('', 2.5, cases, 5))).toEqual({
      figure: '',
      wanted: '≥ 2.50×, aim 5.00×',
      got: '2.00× (case 1)',
      margin: 0.8,
      missed: ['case 1 2.00×'],
      unmeasured: ['case 2'],
    });
  });
});

test('the strongest of several contenders is the fastest one in that pass', () => {
  const times = [
    measured('a', 'pytorch-eager', 3),
    measured('a', 'pytorch-compiled', 2),
    measured('a', 'pytorch-compiled', 1, 'forward'),
    measured('b', 'pytorch-compiled', 1),
    measured('a', 'syncbn', 1),
  ];
  expect(secondsOf(times, 'a', 'step', 'pytorch-*')).toBe(2);
  expect(secondsOf(times, 'a', 'backward', 'pytorch-*')).toBeNull();
});

describe('figures of one thread', () => {
  const verdicts = (measurements: Measurement[]) => speedFigures(workloads, { measurements }).map(judge);

  test('compare with the strongest PyTorch', () => {
    const own = measured('4096x512', 'syncbn', 2);
    const found = verdicts([
      own,
      measured('4096x512', 'pytorch-eager', 3),
      measured('4096x512', 'pytorch-compiled', 1.9),
    ]);
    expect(the('strongest', found).missed).toEqual(['4096x512 0.950×']);
  });

  test('take the affine copy for the measure of a forward pass', () => {
    const found = verdicts([
      measured('4096x512', 'syncbn', 1.8, 'forward'),
      measured('4096x512', 'wasm-affine', 1, 'forward'),
    ]);
    expect(the('affine', found)).toMatchObject({ wanted: '≤ 1.70×', missed: ['4096x512 1.80×'] });
  });

  test('that nothing was measured of are neither reached nor missed', () => {
    for (const verdict of verdicts([])) expect(verdict).toMatchObject({ margin: null, missed: [] });
  });
});

describe('figures of several workers', () => {
  const meeting = (transport: Transport, p50: number): MeetingTime => {
    return { transport, workers: 2, bytes: 2048, p50, p95: p50 };
  };
  /** Every figure exactly at its limit. */
  const steps = {
    'resnet50:16 synchronized-1': 1.7,
    'resnet50:16 synchronized-2': 1,
    'resnet50:16 pytorch-eager-2': 1.2,
    '8x64x128x128 synchronized-2': 1.1,
    '8x64x128x128 apart-2': 1,
    'chain:4x16x8x8 chain-cpu-1': 1,
    'chain:4x16x8x8 chain-cpu-2': 2.5,
    'chain:4x16x8x8 chain-worker-1': 1,
    'chain:4x16x8x8 chain-worker-2': 2.5,
    'chain:16x64x28x28 chain-worker-1': 1.5,
    'chain:16x64x28x28 chain-worker-2': 1,
  };
  const extras: ParallelExtras = {
    meetings: [meeting('bare', 2), meeting('posted', 3), meeting('exchanged', 2)],
    scatterGather: { bytes: 1, copy: 1, scatterGather: 3 },
  };
  const judged = (changedSteps: Partial<typeof steps>, changedExtras: Partial<ParallelExtras> = {}) => {
    const measurements = Object.entries({ ...steps, ...changedSteps }).map(([name, seconds]) => {
      const [workload = '', contender = ''] = name.split(' ');
      return measured(workload, contender, seconds);
    });
    return parallelFigures(findings(measurements), { ...extras, ...changedExtras }).map(judge);
  };

  test('are reached at their limits', () => {
    for (const verdict of judged({})) expect(verdict).toMatchObject({ margin: 1, missed: [], unmeasured: [] });
  });

  test.each<[number, Partial<typeof steps>, Partial<ParallelExtras>?]>([
    [0, { 'resnet50:16 synchronized-1': 1.69 }],
    [1, { 'resnet50:16 pytorch-eager-2': 1.1 }],
    [2, {}, { meetings: [meeting('bare', 2), meeting('posted', 3.1), meeting('exchanged', 2)] }],
    [3, {}, { meetings: [meeting('bare', 2), meeting('posted', 3), meeting('exchanged', 2.1)] }],
    [4, { '8x64x128x128 apart-2': 0.9 }],
    [5, {}, { scatterGather: { bytes: 1, copy: 1, scatterGather: 3.1 } }],
    [6, { 'chain:4x16x8x8 chain-cpu-2': 2.6 }],
    [7, { 'chain:4x16x8x8 chain-worker-2': 2.6 }],
    [8, { 'chain:16x64x28x28 chain-worker-1': 1.4 }],
  ])('figure %i is missed beyond its limit, and it alone', (index, changedSteps, changedExtras) => {
    const verdicts = judged(changedSteps, changedExtras);
    expect(verdicts.flatMap(({ missed }, i) => (missed.length > 0 ? [i] : []))).toEqual([index]);
  });
});

describe('figures of WebGPU', () => {
  const layer = workloads.filter(({ name }) => name === '8x64x128x128');
  const bytes = 8 * 64 * 128 * 128 * 4;
  const verdict = (text: string, times: readonly [string, Pass, number][], forward: Record<string, number> = {}) => {
    const measurements = times.map(([name, pass, seconds]) => measured('8x64x128x128', `node/${name}`, seconds, pass));
    const counts = [{ workload: '8x64x128x128', contender: 'node/syncbn', forward, backward: { dispatches: 1 } }];
    return the(text, gpuFigures('node', layer, { measurements, counts }).map(judge));
  };

  test.each<[string, Record<string, number>, Record<string, number>]>([
    ['bytes read and written', { bytesMoved: 8.2 * bytes }, { bytesMoved: 8.3 * bytes }],
    ['dispatches', { dispatches: 5 }, { dispatches: 6 }],
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
    const run = (seconds: number) =>
      verdict(text, [
        [slow, pass, seconds],
        [fast, pass, 1],
      ]);
    expect(run(factor).missed).toEqual([]);
    expect(run(factor * 0.99).missed).toHaveLength(1);
  });

  test('tell what a meeting adds in round trips of one layer', () => {
    const run = (seconds: number) =>
      verdict('meeting of 2 devices, forward', [
        ['synchronized', 'forward', seconds],
        ['apart', 'forward', 4],
        ['round-trip', 'forward', 2],
      ]);
    expect(run(8)).toMatchObject({ got: '2 round trips (8x64x128x128)', missed: [] });
    expect(run(9).missed).toHaveLength(1);
  });
});

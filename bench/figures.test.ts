import { describe, expect, test } from 'vitest';
import type { ContenderName } from './contenders.ts';
import type { Pass } from './engine.ts';
import { judgeLimit, judgeSpeed } from './figures.ts';
import type { Measurement } from './measure.ts';
import { summarize } from './statistics.ts';
import { workloads } from './workloads.ts';

function measured(workload: string, contender: ContenderName, pass: Pass, seconds: number): Measurement {
  return { workload, contender, pass, samples: [seconds], ...summarize([seconds]) };
}

/** The verdict on the sum of ResNet-50 when the library needs one second and PyTorch so many. */
function resnet50(pytorchSeconds: number) {
  const name = 'resnet50:8';
  const measurements = [
    measured(name, 'syncbn', 'step', 1),
    measured(name, 'pytorch-1', 'step', pytorchSeconds),
    measured(name, 'pytorch-2', 'step', 100),
  ];
  const [verdict] = judgeSpeed(workloads, measurements);
  if (verdict === undefined) throw new Error('no figure is judged');
  return verdict;
}

describe('a figure of speed', () => {
  test('is reached at its limit, by how much it is exceeded', () => {
    expect(resnet50(2.3)).toMatchObject({ margin: 1, missed: [], unmeasured: [], got: '2.30× (resnet50:8)' });
    expect(resnet50(4.6).margin).toBeCloseTo(2);
  });

  test('is missed below its limit', () => {
    expect(resnet50(2.2)).toMatchObject({ missed: ['resnet50:8 2.20×'] });
  });

  test('is as good as its worst workload, and names those that were not measured', () => {
    const shapes = ['8x64x128x128', '4x3x256x256'];
    const measurements = shapes.flatMap((name, i) => [
      measured(name, 'syncbn', 'forward', 1),
      measured(name, 'pytorch-1', 'forward', 3 - i),
    ]);
    const verdict = judgeSpeed(workloads, measurements).find(({ figure }) => figure.startsWith('forward of every'));
    expect(verdict).toMatchObject({ got: '2.00× (4x3x256x256)', missed: ['4x3x256x256 2.00×'] });
    expect(verdict?.unmeasured).toEqual(['32x256x14x14', '16x2048x7x7', '1x256x3136', '32x64x128x128']);
  });

  test('against the affine copy is told as a multiple of its time', () => {
    const measurements = [
      measured('4096x512', 'syncbn', 'forward', 1.8),
      measured('4096x512', 'wasm-affine', 'forward', 1),
    ];
    const verdict = judgeSpeed(workloads, measurements).at(-1);
    expect(verdict).toMatchObject({ wanted: '1.70× its time', missed: ['4096x512 1.80× its time'] });
  });

  test('that nothing was measured of is neither reached nor missed', () => {
    for (const verdict of judgeSpeed(workloads, [])) {
      expect(verdict).toMatchObject({ margin: null, missed: [] });
      expect(verdict.unmeasured).not.toEqual([]);
    }
  });
});

describe('an upper limit', () => {
  test('is reached at the limit and missed above', () => {
    expect(judgeLimit('bytes', 'KB', 60, 60)).toMatchObject({ margin: 1, missed: [] });
    expect(judgeLimit('bytes', 'KB', 60, 66)).toMatchObject({ missed: ['6 KB too many'] });
    expect(judgeLimit('bytes', 'KB', 60, Number.NaN).missed).not.toEqual([]);
    expect(judgeLimit('bytes', 'KB', 60, null)).toMatchObject({ margin: null, missed: [] });
  });
});

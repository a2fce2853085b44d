/** The figures to reach, and how far this run got. Times are minima; all but the last two are of the layers. */

import type { ContenderName } from './contenders.ts';
import type { Pass } from './engine.ts';
import type { Measurement } from './measure.ts';
import type { Family, Workload } from './workloads.ts';

/** A figure as this run reached it, or missed it. */
export interface Verdict {
  readonly figure: string;
  readonly wanted: string;
  /** The worst workload's. */
  readonly got: string;
  /** How far beyond the limit: 1.25 is 25 % better than needed, 0.8 is 20 % short; `null`: not measured. */
  readonly margin: number | null;
  /** Workloads that missed it, and by how much. */
  readonly missed: readonly string[];
  /** Workloads that belong to it and were not measured. */
  readonly unmeasured: readonly string[];
}

/** `subject` is at least `factor` times as fast as `against`. */
interface SpeedFigure {
  readonly text: string;
  readonly subject: ContenderName;
  readonly against: ContenderName;
  readonly passes: readonly Pass[];
  readonly factor: number;
  readonly aim?: number;
  /** Told as a multiple of the other's time, as the figure is. */
  readonly isTold?: 'as time';
  readonly appliesTo: (workload: Workload, pass: Pass) => boolean;
}

const family =
  (...families: Family[]) =>
  (workload: Workload) =>
    families.includes(workload.family);
const single = family('contiguous', 'channels_last', 'flat');

const speedFigures: readonly SpeedFigure[] = [
  {
    text: 'ResNet-50 sum, batch 8, forward + backward, stable, against PyTorch',
    subject: 'syncbn',
    against: 'pytorch-1',
    passes: ['step'],
    factor: 2.3,
    aim: 3,
    appliesTo: (workload) => workload.name === 'resnet50:8',
  },
  {
    text: 'forward of every NCHW shape, stable, against PyTorch',
    subject: 'syncbn',
    against: 'pytorch-1',
    passes: ['forward'],
    factor: 2.5,
    appliesTo: family('contiguous'),
  },
  {
    text: 'backward of every shape; every channels-last and 2-D shape, either pass, against PyTorch',
    subject: 'syncbn',
    against: 'pytorch-1',
    passes: ['forward', 'backward'],
    factor: 1,
    appliesTo: (workload, pass) => (pass === 'backward' ? single(workload) : family('channels_last', 'flat')(workload)),
  },
  {
    text: 'forward, torch numerics, every NCHW shape, against PyTorch',
    subject: 'syncbn-torch',
    against: 'pytorch-1',
    passes: ['forward'],
    factor: 1,
    aim: 1.5,
    appliesTo: family('contiguous'),
  },
  {
    text: 'forward + backward against jax-js wasm',
    subject: 'syncbn',
    against: 'jax-js',
    passes: ['step'],
    factor: 10,
    appliesTo: single,
  },
  {
    text: 'forward + backward against tfjs wasm (NHWC)',
    subject: 'syncbn',
    against: 'tfjs',
    passes: ['step'],
    factor: 50,
    appliesTo: single,
  },
  {
    text: 'forward within 1.7 × a wasm affine copy of the same size',
    subject: 'syncbn',
    against: 'wasm-affine',
    passes: ['forward'],
    factor: 1 / 1.7,
    isTold: 'as time',
    appliesTo: single,
  },
];

/** The judged figures of speed. Each names its worst workload and all that missed it. */
export function judgeSpeed(workloads: readonly Workload[], measurements: readonly Measurement[]): Verdict[] {
  return speedFigures.map((figure): Verdict => {
    const { text, subject, against, factor, aim } = figure;
    const tell = (speedup: number) => (figure.isTold === 'as time' ? `${times(1 / speedup)} its time` : times(speedup));
    const cases = workloads.flatMap((workload) =>
      figure.passes
        .filter((pass) => figure.appliesTo(workload, pass))
        .map((pass) => ({
          label: figure.passes.length > 1 ? `${workload.name} ${pass}` : workload.name,
          speedup: ratio(measurements, workload.name, pass, against, subject),
        })),
    );
    const measured = cases.filter((entry): entry is { label: string; speedup: number } => entry.speedup !== null);
    const worst = measured.reduce((least, { speedup }) => Math.min(least, speedup), Infinity);
    const worstLabel = measured.find(({ speedup }) => speedup === worst)?.label;
    return {
      figure: text,
      wanted: `${tell(factor)}${aim === undefined ? '' : `, aim ${tell(aim)}`}`,
      got: worstLabel === undefined ? '' : `${tell(worst)} (${worstLabel})`,
      margin: worstLabel === undefined ? null : worst / factor,
      missed: measured
        .filter(({ speedup }) => !(speedup >= factor))
        .map(({ label, speedup }) => `${label} ${tell(speedup)}`),
      unmeasured: cases.filter(({ speedup }) => speedup === null).map(({ label }) => label),
    };
  });
}

/** A figure that is a factor to be reached. */
export function judgeAtLeast(figure: string, factor: number, got: number | null): Verdict {
  const isMissed = got !== null && !(got >= factor);
  return {
    figure,
    wanted: `≥ ${times(factor)}`,
    got: got === null ? '' : times(got),
    margin: got === null ? null : got / factor,
    missed: isMissed ? [times(got)] : [],
    unmeasured: got === null ? [figure] : [],
  };
}

/** A figure that is an upper limit, such as bytes. */
export function judgeLimit(figure: string, unit: string, limit: number, got: number | null): Verdict {
  const isMissed = got !== null && !(got <= limit);
  return {
    figure,
    wanted: `≤ ${limit} ${unit}`,
    got: got === null ? '' : `${Number(got.toPrecision(4))} ${unit}`,
    margin: got === null ? null : got === limit ? 1 : limit / got,
    missed: isMissed ? [`${Number((got - limit).toPrecision(3))} ${unit} too many`] : [],
    unmeasured: got === null ? [figure] : [],
  };
}

/** Seconds of a pass; `null` where it was not measured. */
export function secondsOf(
  measurements: readonly Measurement[],
  workload: string,
  pass: Pass,
  contender: ContenderName,
): number | null {
  const found = measurements.find(
    (one) => one.workload === workload && one.pass === pass && one.contender === contender,
  );
  return found?.minimum ?? null;
}

function ratio(
  measurements: readonly Measurement[],
  workload: string,
  pass: Pass,
  slow: ContenderName,
  fast: ContenderName,
): number | null {
  const numerator = secondsOf(measurements, workload, pass, slow);
  const denominator = secondsOf(measurements, workload, pass, fast);
  return numerator === null || denominator === null ? null : numerator / denominator;
}

function times(factor: number): string {
  return `${factor.toPrecision(3)}×`;
}

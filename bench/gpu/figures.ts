/** The figures to reach on WebGPU. Times are minima, ratios within one run and one platform. */

import { type GpuContenderName, type GpuPlatform } from '../contenders.ts';
import type { Pass, StepWork } from '../engine.ts';
import { judgeLimit, secondsOf, type Verdict } from '../figures.ts';
import type { Measurement } from '../measure.ts';
import { elementsOf, type Workload } from '../workloads.ts';

/** What one step of a contender asks of the GPU. */
export interface WorkCount extends StepWork {
  readonly workload: string;
  readonly contender: string;
}

/** What is judged. */
export interface GpuMeasurements {
  readonly measurements: readonly Measurement[];
  readonly work: readonly WorkCount[];
}

/** The largest layer: what figures of bytes, and of tfjs, are about. */
const LAYER = '8x64x128x128';

/** Bytes of one value. */
const VALUE = 4;

/** All figures of one platform. */
export function judgeGpu(platform: GpuPlatform, workloads: readonly Workload[], found: GpuMeasurements): Verdict[] {
  const { measurements } = found;
  const speedup = (against: GpuContenderName) => (workload: Workload) =>
    ratio(measurements, platform, workload.name, 'step', against, 'syncbn');
  const layers = workloads.filter(({ family }) => family !== 'network');
  const isLayer = ({ name }: Workload) => name === LAYER;
  const layer = workloads.find(isLayer);
  const own = found.work.find(({ workload, contender }) => workload === LAYER && contender === `${platform}/syncbn`);
  const moved = own === undefined ? null : (own.forward.bytesMoved ?? 0) + (own.backward.bytesMoved ?? 0);
  const bytes = layer === undefined || moved === null ? null : moved / (elementsOf(layer) * VALUE);
  const dispatches = own === undefined ? null : own.forward.dispatches + own.backward.dispatches;
  const verdicts = [
    judgeLimit('bytes read and written by a training step, (8,64,128,128)', 'B', 8.2, bytes),
    judgeLimit('dispatches of a training step', 'dispatches', 6, dispatches),
    judgeWorst('forward + backward against jax-js, every shape', '≥ 5×', 5, workloads, speedup('jax-js')),
    judgeWorst(
      'forward + backward against tfjs, (8,64,128,128)',
      '≥ 50×',
      50,
      workloads.filter(isLayer),
      speedup('tfjs'),
    ),
    // A small tensor is all overhead.
    judgeWorst(
      'moments against the copy kernel, bytes read per second',
      '≥ 0.6×',
      0.6,
      layers.filter(({ family }) => family !== 'small'),
      ({ name }) => ratio(measurements, platform, name, 'forward', 'copy', 'moments'),
    ),
    ...(['forward', 'backward'] as const).map((pass) =>
      judgeMost(
        `meeting of 2 devices, ${pass}: time over the devices' own work, per layer`,
        'round trips',
        2,
        workloads.filter(({ name }) => isSynchronized(measurements, platform, name)),
        (workload) => roundTrips(measurements, platform, workload, pass),
      ),
    ),
    judgeLimit('new buffers and pipelines of a step in the steady state', 'new', 0, newThings(found.work, platform)),
  ];
  return verdicts.map((verdict) => ({ ...verdict, figure: `${platform}: ${verdict.figure}` }));
}

/** Time of one contender over that of another; `null` unless both were measured. */
export function ratio(
  measurements: readonly Measurement[],
  platform: GpuPlatform,
  workload: string,
  pass: Pass,
  numerator: GpuContenderName,
  denominator: GpuContenderName,
): number | null {
  const above = secondsOf(measurements, workload, pass, `${platform}/${numerator}`);
  const below = secondsOf(measurements, workload, pass, `${platform}/${denominator}`);
  return above === null || below === null ? null : above / below;
}

/** What synchronization adds to a pass of one layer, in round trips of `mapAsync`. Less than nothing is noise. */
export function roundTrips(
  measurements: readonly Measurement[],
  platform: GpuPlatform,
  { name, layers }: Workload,
  pass: 'forward' | 'backward',
): number | null {
  const synchronized = secondsOf(measurements, name, pass, `${platform}/synchronized`);
  const apart = secondsOf(measurements, name, pass, `${platform}/apart`);
  const roundTrip = secondsOf(measurements, name, 'forward', `${platform}/round-trip`);
  if (synchronized === null || apart === null || roundTrip === null) return null;
  return Math.max(0, (synchronized - apart) / layers.length / roundTrip);
}

function isSynchronized(measurements: readonly Measurement[], platform: GpuPlatform, workload: string): boolean {
  return secondsOf(measurements, workload, 'forward', `${platform}/synchronized`) !== null;
}

/** Of the workload that makes most of them. */
function newThings(work: readonly WorkCount[], platform: GpuPlatform): number | null {
  const counts = work
    .filter(({ contender }) => contender === `${platform}/syncbn`)
    .map(({ forward, backward }) => forward.buffers + forward.pipelines + backward.buffers + backward.pipelines);
  return counts.length === 0 ? null : Math.max(...counts);
}

/** A factor that every workload has to reach. */
function judgeWorst(
  figure: string,
  wanted: string,
  factor: number,
  workloads: readonly Workload[],
  factorOf: (workload: Workload) => number | null,
): Verdict {
  const tell = (value: number) => `${value.toPrecision(3)}×`;
  return judgeAll(figure, wanted, workloads, factorOf, tell, (value) => value / factor);
}

/** A limit that every workload has to keep. */
function judgeMost(
  figure: string,
  unit: string,
  limit: number,
  workloads: readonly Workload[],
  valueOf: (workload: Workload) => number | null,
): Verdict {
  const tell = (value: number) => `${value.toPrecision(3)} ${unit}`;
  return judgeAll(figure, `≤ ${limit} ${unit}`, workloads, valueOf, tell, (value) => limit / value);
}

function judgeAll(
  figure: string,
  wanted: string,
  workloads: readonly Workload[],
  valueOf: (workload: Workload) => number | null,
  tell: (value: number) => string,
  marginOf: (value: number) => number,
): Verdict {
  const cases = workloads.map((workload) => ({ name: workload.name, value: valueOf(workload) }));
  const known = cases.flatMap(({ name, value }) => (value === null ? [] : [{ name, value, margin: marginOf(value) }]));
  const worst = known.reduce<(typeof known)[number] | null>(
    (least, one) => (least === null || one.margin < least.margin ? one : least),
    null,
  );
  return {
    figure,
    wanted,
    got: worst === null ? '' : `${tell(worst.value)} (${worst.name})`,
    margin: worst?.margin ?? null,
    missed: known.filter(({ margin }) => !(margin >= 1)).map(({ name, value }) => `${name} ${tell(value)}`),
    unmeasured: cases.filter(({ value }) => value === null).map(({ name }) => name),
  };
}

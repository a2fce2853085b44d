/** The tables of `npm run bench:gpu`, and its CSV file. */

import { type GpuPlatform, gpuPlatforms, type NamedContender } from '../contenders.ts';
import type { GpuCounts } from '../engine.ts';
import type { Verdict } from '../figures.ts';
import type { Failure, Measurement } from '../measure.ts';
import { plainTable } from '../report.ts';
import { elementsOf, type Workload } from '../workloads.ts';
import type { AdapterDescription } from './describe_adapter.ts';
import { type GpuMeasurements, ratio, roundTrips, type WorkCount } from './figures.ts';

/** Everything a run has found, as it is written to JSON. */
export interface GpuResults extends GpuMeasurements {
  readonly date: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly adapters: Readonly<Partial<Record<GpuPlatform, AdapterDescription>>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly isQuick: boolean;
  readonly failures: readonly Failure[];
  readonly verdicts: readonly Verdict[];
}

const BYTES_PER_VALUE = 4;

/** What one step asks of the GPU, per workload and contender. B is the size of the input. */
export function workTable(workloads: readonly Workload[], work: readonly WorkCount[]): string {
  const table = plainTable(['', '', 'dispatches', 'submits', 'new buffers', 'maps', 'bound, B', 'moved, B']);
  for (const workload of workloads) {
    const size = elementsOf(workload) * BYTES_PER_VALUE;
    for (const { contender, forward, backward } of work.filter((one) => one.workload === workload.name)) {
      const both = (tell: (counts: GpuCounts) => string | number) => `${tell(forward)} / ${tell(backward)}`;
      table.push([
        workload.name,
        contender,
        both(({ dispatches }) => dispatches),
        both(({ submits }) => submits),
        both(({ buffers }) => buffers),
        both(({ maps }) => maps),
        both(({ bytesBound }) => (bytesBound / size).toFixed(2)),
        forward.bytesMoved === undefined ? '-' : both(({ bytesMoved = 0 }) => (bytesMoved / size).toFixed(2)),
      ]);
    }
  }
  return (
    'Forward / backward in the steady state, as the platform sees them (of jax-js and tfjs: forward / whole step); B: bytes of x; ' +
    `bound: of buffers bound to kernels; moved: as the library counts\n${table.toString()}`
  );
}

/** Bytes per second as part of what the copy kernel reaches in the same run, and what a meeting adds. */
export function bandwidthTable(workloads: readonly Workload[], { measurements, work }: GpuMeasurements): string {
  const table = plainTable(['', '', 'copy, GB/s', 'forward', 'backward', 'moments', 'meeting forward', 'backward']);
  for (const platform of gpuPlatforms) {
    for (const workload of workloads) {
      const copy = measurements.find(
        ({ contender, pass, workload: name }) =>
          name === workload.name && contender === `${platform}/copy` && pass === 'forward',
      );
      if (copy === undefined) continue;
      const size = elementsOf(workload) * BYTES_PER_VALUE;
      const own = work.find((one) => one.workload === workload.name && one.contender === `${platform}/syncbn`);
      const share = (pass: 'forward' | 'backward') => {
        const time = ratio(measurements, platform, workload.name, pass, 'copy', 'syncbn');
        const bytes = own?.[pass].bytesMoved;
        return time === null || bytes === undefined ? '-' : percent((time * bytes) / (2 * size));
      };
      const moments = ratio(measurements, platform, workload.name, 'forward', 'copy', 'moments');
      const meeting = (pass: 'forward' | 'backward') => {
        const trips = roundTrips(measurements, platform, workload, pass);
        return trips === null ? '-' : trips.toFixed(2);
      };
      table.push([
        platform,
        workload.name,
        ((2 * size) / copy.minimum / 1e9).toFixed(2),
        share('forward'),
        share('backward'),
        moments === null ? '-' : percent(moments),
        meeting('forward'),
        meeting('backward'),
      ]);
    }
  }
  return (
    "Bytes per second against the copy kernel's of the same run; of moments: bytes read. Meeting of 2 devices: round trips of " +
    `mapAsync over the devices' own work, per layer\n${table.toString()}`
  );
}

/** One line per measured pass. */
export function csv(
  workloads: readonly Workload[],
  contenders: readonly NamedContender[],
  { measurements, work }: GpuMeasurements,
): string {
  const lines = ['platform,contender,workload,pass,minimum_ms,median_ms,samples,dispatches,bytes_bound,bytes_moved'];
  for (const { name } of workloads) {
    for (const contender of contenders) {
      const counts = work.find((one) => one.workload === name && one.contender === contender.name);
      for (const one of measurements) {
        if (one.workload !== name || one.contender !== contender.name) continue;
        const counted = countsOf(one, counts);
        const times = [one.minimum, one.median].map((seconds) => (seconds * 1000).toPrecision(6));
        const amounts = [counted?.dispatches, counted?.bytesBound, counted?.bytesMoved].map((value) => value ?? '');
        const [platform = '', short = ''] = contender.name.split('/');
        lines.push([platform, short, name, one.pass, ...times, one.samples.length, ...amounts].join(','));
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Counts of a pass. What runs after the forward of a contender without a backward of its own is the whole step. */
function countsOf({ pass, contender }: Measurement, work: WorkCount | undefined): GpuCounts | undefined {
  if (work === undefined || pass === 'forward') return work?.forward;
  const isWhole = /jax-js|tfjs/.test(contender);
  if (pass === 'backward' || isWhole) return work.backward;
  const { forward, backward } = work;
  return {
    dispatches: forward.dispatches + backward.dispatches,
    submits: forward.submits + backward.submits,
    bytesBound: forward.bytesBound + backward.bytesBound,
    buffers: forward.buffers + backward.buffers,
    pipelines: forward.pipelines + backward.pipelines,
    maps: forward.maps + backward.maps,
    ...(backward.bytesMoved !== undefined && { bytesMoved: (forward.bytesMoved ?? 0) + backward.bytesMoved }),
  };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** The tables of `npm run bench:parallel`. */

import type { ContenderName } from '../contenders.ts';
import type { StepTraffic } from '../engine.ts';
import { type Failure, type Measurement } from '../measure.ts';
import { plainTable } from '../report.ts';
import type { Verdict } from '../figures.ts';
import { type ParallelMeasurements, meetingRatio, stepRatio } from './figures.ts';
import type { MeetingTime, Transport } from './meeting.ts';
import type { ScatterGatherTime } from './scatter_gather.ts';

export const WORKER_COUNTS = [1, 2, 4, 8] as const;

/** What one step of a contender sends between threads. */
export interface TrafficCount extends StepTraffic {
  readonly workload: string;
  readonly contender: ContenderName;
}

/** Everything a run has found, as it is written to JSON. */
export interface ParallelResults extends ParallelMeasurements {
  readonly date: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly isQuick: boolean;
  readonly traffic: readonly TrafficCount[];
  readonly failures: readonly Failure[];
  readonly verdicts: readonly Verdict[];
}

/** One row per workload and number of workers. */
export function stepTable(steps: readonly Measurement[], traffic: readonly TrafficCount[]): string {
  const table = plainTable(['', 'workers', 'step, ms', 'against 1', 'against apart', 'messages', 'KiB']);
  for (const workload of new Set(steps.map((step) => step.workload))) {
    for (const workers of WORKER_COUNTS) {
      const name = `synchronized-${workers}` as const;
      const found = steps.find((step) => step.workload === workload && step.contender === name);
      const sent = traffic.find((count) => count.workload === workload && count.contender === name);
      const gain = stepRatio(steps, workload, 'synchronized-1', name);
      const share = workers === 1 ? null : stepRatio(steps, workload, name, `unsynchronized-${workers}`);
      table.push([
        workload,
        workers,
        found === undefined ? '-' : `${milliseconds(found.minimum)} +${Math.round(found.spread * 100)}%`,
        gain === null ? '-' : `${gain.toFixed(2)}× as fast`,
        share === null ? '-' : `${share.toFixed(2)}× the time`,
        sent?.messages ?? '-',
        sent === undefined ? '-' : (sent.bytes / 1024).toFixed(1),
      ]);
    }
    const pytorch = steps.find((step) => step.workload === workload && step.contender === 'pytorch-2');
    if (pytorch === undefined) continue;
    const gain = stepRatio(steps, workload, 'synchronized-1', 'pytorch-2');
    const cell = `${milliseconds(pytorch.minimum)} +${Math.round(pytorch.spread * 100)}%`;
    table.push([workload, 'PyTorch', cell, gain === null ? '-' : `${gain.toFixed(2)}× as fast`, '', '', '']);
  }
  return `Forward + backward, at best, and how far the median lies above; apart: not synchronized\n${table.toString()}`;
}

/** One row per number of workers and payload: median and 95th percentile. */
export function meetingTable(meetings: readonly MeetingTime[]): string {
  const table = plainTable(['workers', 'bytes', 'bare messages', 'posted', '', 'shared', '', 'among workers', '']);
  const cell = (time: MeetingTime | undefined) =>
    time === undefined ? '-' : `${microseconds(time.p50)}, ${microseconds(time.p95)}`;
  for (const { workers, bytes } of meetings.filter(({ transport }) => transport === 'bare')) {
    const of = (transport: Transport) =>
      cell(meetings.find((one) => one.transport === transport && one.workers === workers && one.bytes === bytes));
    const ratio = (transport: Transport) => {
      const value = meetingRatio(meetings, transport, workers, bytes);
      return value === null ? '-' : `${value.toFixed(2)}×`;
    };
    const ways = ['posted', 'shared', 'exchanged'] as const;
    table.push([workers, bytes, of('bare'), ...ways.flatMap((way) => [of(way), ratio(way)])]);
  }
  return `A meeting: p50 and p95 in microseconds, and p50 against bare messages\n${table.toString()}`;
}

export function scatterGatherLine({ bytes, copy, scatterGather }: ScatterGatherTime): string {
  return (
    `Scatter and gather of ${(bytes / 2 ** 20).toFixed(0)} MiB over 2 workers: ${milliseconds(scatterGather)} ms, ` +
    `${(scatterGather / copy).toFixed(2)} copies of ${milliseconds(copy)} ms`
  );
}

function milliseconds(seconds: number): string {
  return (seconds * 1000).toPrecision(3);
}

function microseconds(seconds: number): string {
  return (seconds * 1e6).toFixed(0);
}

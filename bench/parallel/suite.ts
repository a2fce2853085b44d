/** `npm run bench:parallel`: layers and chains of layers on several workers, meetings, scatter and gather. */

import { CHAIN_LENGTH, type Workload } from '../workloads.ts';
import { type Contender, WORKER_COUNTS } from '../contenders.ts';
import { atLeast, atMost, type Figure, ratio, strongestOf } from '../figures.ts';
import type { Findings } from '../measure.ts';
import type { Options } from '../options.ts';
import { cell, chainTable, milliseconds, table, timeCell } from '../report.ts';
import type { SuiteParts } from '../run.ts';
import { measureMeetings, type MeetingTime, type Transport } from './meeting.ts';
import { measureScatterGather, type ScatterGatherTime } from './scatter_gather.ts';

export interface ParallelExtras {
  readonly meetings: readonly MeetingTime[];
  readonly scatterGather: ScatterGatherTime;
}

const LAYER = '8x64x128x128';
const NETWORK = 'resnet50:16';
const PAYLOAD = 2048;
/** The fastest of PyTorch's contenders. */
const PYTORCH = 'pytorch-*';

export function parallelParts({ workloads, contenders, isQuick }: Options): SuiteParts<ParallelExtras> {
  return {
    groupsOf: ({ name }) => (name === NETWORK ? networkGroups(contenders) : null),
    measureExtras: async () => ({
      meetings: await measureMeetings(WORKER_COUNTS, isQuick ? 200 : 2000),
      scatterGather: await measureScatterGather(isQuick ? 10 : 50),
    }),
    figures: parallelFigures,
    report: (found, { meetings, scatterGather }) => [
      stepTable(workloads, found),
      chainTable(workloads, contenders, found.measurements),
      meetingTable(meetings),
      scatterGatherLine(scatterGather),
    ],
  };
}

/** The networks of all numbers of workers at once would not fit into memory. PyTorch takes its turn with one and two workers. */
function networkGroups(contenders: readonly Contender[]): string[][] {
  const names = contenders.map(({ name }) => name);
  const many = names.filter((name) => /-[48]$/.test(name));
  return [
    names.filter((name) => !many.includes(name)),
    many.filter((name) => name.endsWith('4')),
    many.filter((name) => name.endsWith('8')),
  ];
}

export function parallelFigures({ measurements }: Findings, { meetings, scatterGather }: ParallelExtras): Figure[] {
  const times = (workload: string, above: string, below: string) => [
    { label: '', value: ratio(measurements, workload, 'step', above, below) },
  ];
  const meeting = (transport: Transport) => meetingRatio(meetings, transport, 2, PAYLOAD);
  const small = 'chain:4x16x8x8';
  return [
    atLeast(
      'ResNet-50 sum, batch 16, forward + backward, 2 workers against 1',
      1.7,
      times(NETWORK, 'synchronized-1', 'synchronized-2'),
    ),
    atLeast(
      'the same, 2 workers against the strongest PyTorch with two threads',
      1.2,
      times(NETWORK, PYTORCH, 'synchronized-2'),
    ),
    atMost('meeting of 2 workers, 2 KiB, against bare messages, p50', 1.5, '×', meeting('posted')),
    atMost('the same, where memory can be shared: among the workers', 1, '×', meeting('exchanged')),
    atMost(
      '(8,64,128,128) on 2 workers, synchronized against unsynchronized',
      1.1,
      '×',
      times(LAYER, 'synchronized-2', 'apart-2'),
    ),
    atMost('scatter + gather over 2 workers', 3, 'copies', scatterGather.scatterGather / scatterGather.copy),
    atMost('a small layer in a chain, 2 cpu devices against 1', 2.5, '×', times(small, 'chain-cpu-2', 'chain-cpu-1')),
    atMost('the same, 2 workers against 1', 2.5, '×', times(small, 'chain-worker-2', 'chain-worker-1')),
    atLeast(
      '(16,64,28,28) in a chain, 2 workers against 1',
      1.5,
      times('chain:16x64x28x28', 'chain-worker-1', 'chain-worker-2'),
    ),
  ];
}

/** The median of a meeting over that of bare messages; `null` unless both were measured. */
function meetingRatio(
  meetings: readonly MeetingTime[],
  transport: Transport,
  workers: number,
  bytes: number,
): number | null {
  const p50 = (wanted: Transport) =>
    meetings.find((one) => one.transport === wanted && one.workers === workers && one.bytes === bytes)?.p50;
  const above = p50(transport);
  const below = p50('bare');
  return above === undefined || below === undefined ? null : above / below;
}

/** One row per workload and number of workers. */
function stepTable(workloads: readonly Workload[], { measurements, counts }: Findings): string {
  const rows = workloads
    .filter(({ chainLength }) => chainLength < CHAIN_LENGTH)
    .flatMap(({ name }) => {
      const gain = (contender: string) => cell(ratio(measurements, name, 'step', 'synchronized-1', contender), 2, '×');
      const own = WORKER_COUNTS.map((workers) => {
        const contender = `synchronized-${workers}`;
        const sent = counts.find((count) => count.workload === name && count.contender === contender)?.step;
        return [
          name,
          workers,
          timeCell(strongestOf(measurements, name, 'step', contender)),
          gain(contender),
          cell(ratio(measurements, name, 'step', contender, `apart-${workers}`), 2, '×'),
          sent?.['messages'] ?? '-',
          sent === undefined ? '-' : cell((sent['bytes'] ?? 0) / 1024, 1),
        ];
      });
      const pytorch = strongestOf(measurements, name, 'step', PYTORCH);
      if (pytorch === undefined) return own;
      return [...own, [name, pytorch.contender, timeCell(pytorch), gain(PYTORCH), '', '', '']];
    });
  const head = ['', 'workers', 'step, ms', 'as fast as 1', 'time over apart', 'messages', 'KiB'];
  return table('Forward + backward, at best, and how far the median lies above; apart: not synchronized', head, rows);
}

/** One row per number of workers and payload: median and 95th percentile. */
function meetingTable(meetings: readonly MeetingTime[]): string {
  const microseconds = (seconds: number) => (seconds * 1e6).toFixed(0);
  const rows = meetings
    .filter(({ transport }) => transport === 'bare')
    .map(({ workers, bytes }) => {
      const of = (transport: Transport) => {
        const time = meetings.find(
          (one) => one.transport === transport && one.workers === workers && one.bytes === bytes,
        );
        return time === undefined ? '-' : `${microseconds(time.p50)}, ${microseconds(time.p95)}`;
      };
      const ways = ['posted', 'shared', 'exchanged'] as const;
      const compared = ways.flatMap((way) => [of(way), cell(meetingRatio(meetings, way, workers, bytes), 2, '×')]);
      return [workers, bytes, of('bare'), ...compared];
    });
  const head = ['workers', 'bytes', 'bare messages', 'posted', '', 'shared', '', 'among workers', ''];
  return table('A meeting: p50 and p95 in microseconds, and p50 against bare messages', head, rows);
}

function scatterGatherLine({ bytes, copy, scatterGather }: ScatterGatherTime): string {
  return (
    `Scatter and gather of ${(bytes / 2 ** 20).toFixed(0)} MiB over 2 workers: ${milliseconds(scatterGather)} ms, ` +
    `${(scatterGather / copy).toFixed(2)} copies of ${milliseconds(copy)} ms`
  );
}

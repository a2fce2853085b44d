/** The figures to reach with several workers. All are ratios within one run. */

import { judgeAtLeast, judgeLimit, secondsOf, type Verdict } from '../figures.ts';
import type { ContenderName } from '../contenders.ts';
import type { Measurement } from '../measure.ts';
import type { MeetingTime, Transport } from './meeting.ts';
import type { ScatterGatherTime } from './scatter_gather.ts';

/** What is judged. */
export interface ParallelMeasurements {
  readonly steps: readonly Measurement[];
  readonly meetings: readonly MeetingTime[];
  readonly scatterGather: ScatterGatherTime;
}

const NETWORK = 'resnet50:16';
const LAYER = '8x64x128x128';
const PAYLOAD = 2048;

export function judgeParallel({ steps, meetings, scatterGather }: ParallelMeasurements): Verdict[] {
  const meeting = (transport: Transport) => meetingRatio(meetings, transport, 2, PAYLOAD);
  return [
    judgeAtLeast(
      'ResNet-50 sum, batch 16, forward + backward, 2 workers against 1',
      1.7,
      stepRatio(steps, NETWORK, 'synchronized-1', 'synchronized-2'),
    ),
    judgeAtLeast(
      'the same, 2 workers against PyTorch with two threads',
      2,
      stepRatio(steps, NETWORK, 'pytorch-2', 'synchronized-2'),
    ),
    judgeLimit('meeting of 2 workers, 2 KiB, against bare messages, p50', '×', 1.5, meeting('posted')),
    judgeLimit('the same, where memory can be shared: among the workers', '×', 1, meeting('exchanged')),
    judgeLimit(
      '(8,64,128,128) on 2 workers, synchronized against unsynchronized',
      '×',
      1.1,
      stepRatio(steps, LAYER, 'synchronized-2', 'unsynchronized-2'),
    ),
    judgeLimit('scatter + gather over 2 workers', 'copies', 3, scatterGather.scatterGather / scatterGather.copy),
  ];
}

/** Time of one contender over that of another; `null` unless both were measured. */
export function stepRatio(
  steps: readonly Measurement[],
  workload: string,
  numerator: ContenderName,
  denominator: ContenderName,
): number | null {
  const above = secondsOf(steps, workload, 'step', numerator);
  const below = secondsOf(steps, workload, 'step', denominator);
  return above === null || below === null ? null : above / below;
}

/** The median of a meeting over that of bare messages; `null` unless both were measured. */
export function meetingRatio(
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

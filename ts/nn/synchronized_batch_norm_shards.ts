/** How the shards of all replicas make one batch. */

import { cpuGroupOf } from '../device/cpu_group.ts';
import type { BatchLayout, Device, DeviceGroup, EpsMode, Numerics } from '../device/device.ts';
import { nextInOrder } from '../tensor/graph_node.ts';
import type { ProcessGroup } from '../sync/process_group.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { inFormat } from '../tensor/storage_ops.ts';
import { checkBatchSize } from './batch_norm_checks.ts';

/** What each replica says before anything is computed. */
export interface Announcement {
  readonly shape: Shape;
  readonly numerics: Numerics;
  readonly eps: number;
  readonly epsMode: EpsMode;
  /** How a batch without a variance can be normalized, see `checkBatchSize`. */
  readonly otherwise: string;
  /** Whether the replica records the call for a gradient of x, weight or bias. */
  readonly wantsGradient: boolean;
}

/** The whole batch as all replicas see it. */
export interface BatchPlan {
  /** n, the values per channel. */
  readonly count: number;
  /** Global number of each replica's first sample. */
  readonly firstSamples: readonly number[];
  /**
   * Whether the replicas' samples are of different lengths. Every value then counts as a sample of its own, since a tree
   * over samples needs equal ones.
   */
  readonly isRagged: boolean;
  /** Whether a node of the graph will be made, so that x must stay. */
  readonly isRecorded: boolean;
  /**
   * The place of this call in the order of nodes. It is given when all replicas have announced the call. Replicas that call two
   * layers at once, but in the same order, announce them in that order, and so the gradients that meet at a common input are
   * summed as on one device. How long each layer takes does not matter.
   */
  readonly sequence: number;
  /** Samples of all replicas; values per channel where the batch is ragged. */
  readonly samples: number;
  /** The ranks of a process group that share the batch; `null`: this process has it all. */
  readonly ranks: RankPlan | null;
}

/** Consecutive samples of a batch. */
export interface SampleRange {
  /** Global number of the first one. */
  readonly first: number;
  readonly samples: number;
}

/** One call of a layer, as the ranks see it. */
export interface RankedCall {
  readonly group: ProcessGroup;
  /** The same on every rank, and in no other call. */
  readonly tag: string;
  readonly own: readonly Announcement[];
  /** The place of the call in the order of nodes. */
  readonly sequence: number;
  /** Which arithmetic merges the partials of this rank. */
  readonly merging: string;
  readonly layer: LayerInGroup;
}

/** What a rank remembers of a layer. */
export interface LayerInGroup {
  readonly group: ProcessGroup;
  readonly number: number;
  calls: number;
  /** Shapes of all shards in the last call, rank by rank. */
  lastShapes: readonly (readonly Shape[])[] | null;
}

/** What the ranks of a process group have of a batch. */
export interface RankPlan {
  readonly call: RankedCall;
  /** What each rank has. */
  readonly ranges: readonly SampleRange[];
  /** Whether the shapes of the other ranks are those of the call before, and not known yet. */
  readonly isPredicted: boolean;
  /** Whether the devices of all ranks merge alike, so that each rank merges on its own. */
  readonly mergesOnDevices: boolean;
}

/**
 * Numbers the samples of all replicas, in order.
 * @throws RangeError when the whole batch has one value per channel, or the replicas disagree about the layer.
 */
export function planBatch(announcements: readonly Announcement[]): BatchPlan {
  checkAgreement(announcements);
  const counts = announcements.map(({ shape }) => countOf(shape));
  const isRagged = areOfSeveralLengths(announcements, counts);
  const firstSamples: number[] = [];
  let samples = 0;
  let count = 0;
  let isRecorded = false;
  for (const [r, { shape, wantsGradient }] of announcements.entries()) {
    const own = counts[r] ?? 0;
    firstSamples.push(samples);
    samples += isRagged || own === 0 ? own : (shape[0] ?? 0);
    count += own;
    isRecorded ||= wantsGradient;
  }
  if (count === 1) {
    // One replica has the one value; its shape is that of the whole batch.
    announcements
      .filter((_, r) => counts[r] === 1)
      .forEach(({ shape, otherwise }) => checkBatchSize(shape, { otherThanBatchStatistics: otherwise }));
  }
  return { count, firstSamples, isRagged, isRecorded, sequence: nextInOrder(), samples, ranks: null };
}

function areOfSeveralLengths(announcements: readonly Announcement[], counts: readonly number[]): boolean {
  let length: number | null = null;
  for (const [r, { shape }] of announcements.entries()) {
    if (counts[r] !== 0) {
      const own = lengthOf(shape);
      if (length !== null && own !== length) {
        return true;
      }
      length = own;
    }
  }
  return false;
}

/** The devices of a batch as a group that exchanges partials by itself; `null` where the calling thread must. */
export function groupOf(devices: readonly Device[], plan: BatchPlan): DeviceGroup | null {
  return plan.isRagged || plan.ranks !== null ? null : (cpuGroupOf(devices) ?? devices[0]?.group?.(devices) ?? null);
}

/** The layout of a shard, one for all that are empty. */
export function shardLayout(layout: BatchLayout): BatchLayout {
  return layout.samples * layout.length === 0 ? { ...layout, samples: 0, length: 1 } : layout;
}

/** A shard as the kernels that reduce it shall see it. */
export interface ReducibleShard {
  /** A reference that the caller must release. */
  readonly storage: Storage;
  readonly layout: BatchLayout;
}

/** The values of a shard arranged for the plan: rearranged only where the batch is ragged. */
export function reducible(storage: Storage, layout: BatchLayout, plan: BatchPlan): ReducibleShard {
  const { samples, channels, length } = shardLayout(layout);
  if (!plan.isRagged || length === 1) {
    return { storage: storage.retain(), layout: shardLayout(layout) };
  }
  // (N, L, C) is (N·L, C, 1) to the byte.
  const rows = inFormat(storage, layout, 'channels_last');
  return { storage: rows, layout: { samples: samples * length, channels, length: 1, format: 'contiguous' } };
}

/** @throws RangeError unless all replicas are about to compute the same. */
export function checkAgreement(announcements: readonly Announcement[]): void {
  const [first] = announcements;
  for (const [replica, { numerics, eps, epsMode }] of announcements.entries()) {
    if (first !== undefined && (numerics !== first.numerics || eps !== first.eps || epsMode !== first.epsMode)) {
      throw new RangeError(
        `expected all replicas of a synchronized layer to have the same settings, got numerics '${first.numerics}', ` +
          `eps ${first.eps}, epsMode '${first.epsMode}' in replica 0 and '${numerics}', ${eps}, '${epsMode}' in replica ${replica}`,
      );
    }
  }
}

function lengthOf(shape: Shape): number {
  let length = 1;
  for (let dim = 2; dim < shape.length; dim += 1) {
    length *= shape[dim] ?? 1;
  }
  return length;
}

/** Values per channel. */
function countOf(shape: Shape): number {
  return (shape[0] ?? 0) * lengthOf(shape);
}

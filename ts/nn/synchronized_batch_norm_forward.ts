/**
 * The training forward of one replica of a synchronized layer. The replicas meet on their shapes. Where their devices exchange
 * partials among themselves, they meet once more to give them one command. Elsewhere they meet on their partial statistics; each
 * then finalizes the merged ones and normalizes on its own device. `torch` numerics meet once more, for the mean of the whole
 * batch comes before the deviations from it.
 */

import { awaited } from '../device/awaited.ts';
import type { commands } from '../device/commands.ts';
import {
  STATISTICS_ROWS,
  type BatchLayout,
  type Device,
  type Fields,
  type GroupForwardArguments,
} from '../device/device.ts';
import { deviceByName } from '../device/registry.ts';
import type { SyncTimeoutError } from '../errors.ts';
import type { Met, Outcome, Session, TimedOut } from '../sync/session.ts';
import { isGradEnabled } from '../tensor/grad_mode.ts';
import type { GraphNode } from '../tensor/graph_node.ts';
import { batchLayout, formatShape } from '../tensor/shape.ts';
import { Storage } from '../tensor/storage.ts';
import { confirmation } from '../tensor/storage_ops.ts';
import { Tensor } from '../tensor/tensor.ts';
import { BatchNorm } from './batch_norm.ts';
import { checkTensor } from './batch_norm_checks.ts';
import type { RunningStatistics } from './batch_norm_operation.ts';
import { beginForward } from './forward_passes.ts';
import { noteLayerPath } from './replica.ts';
import { recordJointly, type Shard } from './synchronized_batch_norm_backward.ts';
import { type MeetingPlace, warnOfLocalStatistics } from './synchronized_batch_norm_place.ts';
import { checkSynchronization, type SynchronizedLayer } from './synchronized_batch_norm_settings.ts';
import {
  type Announcement,
  type BatchPlan,
  groupOf,
  planBatch,
  reducible,
  shardLayout,
} from './synchronized_batch_norm_shards.ts';
import { type FirstMerge, mergeAgain, mergeFirst, planWithRanks, ranksOf } from './synchronized_batch_norm_group.ts';

/** What the last round gives to every replica. */
interface Merged {
  /** Merged moments, or deviations, of the whole batch; `null` where the devices work on it among themselves. */
  readonly merged: Uint8Array | null;
  /** Names what all replicas compute from the statistics of the batch. */
  readonly origin: object;
  /** The node of all replicas, with one reference for each; `null` when nothing is recorded. */
  readonly node: GraphNode<Tensor> | null;
}

/** What replicas get instead when the ranks of a process group had other shapes than was predicted. */
interface Replanned {
  readonly replanned: BatchPlan;
}

/** Memory for what a replica computes. */
interface Outputs {
  /** Memory of x where it is overwritten; no reference of its own then. */
  readonly y: Storage;
  /** Statistics of the whole batch. */
  readonly statistics: Storage;
  /** The next running statistics; `null` where none are kept. */
  readonly next: RunningStatistics<Storage> | null;
  /** The references that the call holds, and releases at its end: who keeps something takes a reference of its own. */
  readonly taken: readonly Storage[];
}

/** One replica's call of the layer, once all have announced theirs. */
interface Call {
  readonly layer: SynchronizedLayer;
  readonly x: Tensor;
  readonly place: MeetingPlace;
  readonly session: Session;
  readonly plan: BatchPlan;
  readonly layout: BatchLayout;
  readonly outputs: Outputs;
  readonly isRecorded: boolean;
}

/**
 * Normalizes one replica's share of a batch.
 * @throws what the layer throws by itself; RangeError when the whole batch has one value per channel; SyncTimeoutError and
 * SyncDeadlockError when the others do not come; ReplicaError when one of them fails.
 */
export async function synchronizedForward(layer: SynchronizedLayer, x: Tensor, place: MeetingPlace): Promise<Tensor> {
  const { original } = place;
  // A layer outside of replicas has nobody else to refuse changes meanwhile.
  const end = original === layer ? beginForward([{ module: layer }]) : null;
  try {
    return await forwardInReplica(layer, x, place);
  } catch (error) {
    noteLayerPath(error, place.path);
    layer.processGroup?.abort?.(error);
    throw error;
  } finally {
    end?.();
  }
}

async function forwardInReplica(layer: SynchronizedLayer, x: Tensor, place: MeetingPlace): Promise<Tensor> {
  const device = checkTensor(x, 'the input');
  if (!device.isReady) {
    await device.ready();
  }
  layer.checkInput(x);
  checkSynchronization(layer);
  const { syncTimeout: timeoutSeconds, onTimeout, numerics, eps, epsMode } = layer;
  const { weight, bias } = originalOf(place);
  const isRecorded = isGradEnabled();
  const wantsGradient = isRecorded && [x, weight, bias].some((input) => input?.requiresGrad === true);
  const session = place.meetingPoint.attend(place.index, place.path, { timeoutSeconds, onTimeout });
  const otherwise = layer.otherThanBatchStatistics;
  const announcement = { shape: x.shape, numerics, eps, epsMode, otherwise, wantsGradient };
  const ranks = ranksOf(layer);
  const planned = await session.meet(place.index, announcement, (own: readonly Announcement[]) =>
    ranks === null ? planBatch(own) : planWithRanks(place.original, ranks, place.devices.map(deviceByName), own),
  );
  return planned.kind === 'timed_out'
    ? fallBack(layer, x, place, planned.error)
    : forwardAsPlanned({ layer, x, place, session, isRecorded }, planned.value);
}

/** The rest of a call, when all have announced theirs; once more when the ranks had other shapes than was predicted. */
async function forwardAsPlanned(
  announced: Omit<Call, 'plan' | 'layout' | 'outputs'>,
  plan: BatchPlan,
): Promise<Tensor> {
  const { layer, x, place } = announced;
  const { device } = x.storage;
  if (plan.count === 0) {
    return layer.forwardLocally(x, plan.sequence);
  }
  const layout = batchLayout(x.shape, x.memoryFormat);
  const outputs = await awaited([device], () => allocate(layer, x, place, plan));
  try {
    const call = { ...announced, plan, layout, outputs };
    const outcome = await meetOnStatistics(call);
    if (outcome.kind === 'timed_out') {
      return await fallBack(layer, x, place, outcome.error);
    }
    if ('merged' in outcome.value) {
      return await complete(call, outcome.value);
    }
    ({ replanned: plan } = outcome.value);
  } finally {
    outputs.taken.forEach((storage) => storage.release());
  }
  return forwardAsPlanned(announced, plan);
}

/** Before the last meeting: nobody finds out after it that there is no room. */
function allocate(layer: SynchronizedLayer, x: Tensor, place: MeetingPlace, plan: BatchPlan): Outputs {
  const { device, length } = x.storage;
  const channels = layer.numFeatures;
  const taken: Storage[] = [];
  const take = (size: number): Storage => {
    const storage = Storage.allocate(device, size);
    taken.push(storage);
    return storage;
  };
  try {
    const statistics = take(STATISTICS_ROWS * channels);
    const y = !plan.isRecorded && x.isOverwritable ? x.storage : take(length);
    const isUpdated = layer.averageFactor !== null && layer.runningStatistics() !== null && renewsRunning(layer, place);
    const next = isUpdated ? { mean: take(channels), variance: take(channels) } : null;
    return { y, statistics, next, taken };
  } catch (error) {
    taken.forEach((storage) => storage.release());
    throw error;
  }
}

/** Meets the others: to give the devices of a group their command, or with partial statistics to merge. */
async function meetOnStatistics(call: Call): Promise<Outcome<Merged | Replanned>> {
  const { layer, place, session, plan } = call;
  const devices = place.devices.map(deviceByName);
  const record = (calls: readonly Call[]): GraphNode<Tensor> | null => {
    // Gradients of weight and bias go to the original's once, not through the copies of every replica.
    const { weight, bias } = originalOf(place);
    return plan.isRecorded ? recordJointly(calls.map(shardOf), weight, bias, plan) : null;
  };
  const group = layer.numerics === 'stable' ? groupOf(devices, plan) : null;
  if (group !== null) {
    return session.meet(place.index, call, (calls) => {
      const origin = {};
      place.meetingPoint.groups.add(group);
      group.batchNorm(calls.map((each) => ({ ...argumentsOf(each), ...updateOf(each) })));
      calls.forEach((each) => commit(each, origin));
      return { merged: null, origin, node: record(calls) };
    });
  }
  const partial = await partialOf(call, devices);
  if ('kind' in partial) {
    return partial;
  }
  return session.meet(place.index, { partial, call }, async (arrivals) => {
    const partials = arrivals.map((arrival) => arrival.partial);
    const first: FirstMerge =
      layer.numerics === 'stable'
        ? await mergeFirst(devices, partials, plan, 'moments')
        : { merged: await mergeAgain(devices, partials, plan, 'deviations', 'deviations') };
    return 'replanned' in first
      ? first
      : { merged: first.merged, origin: {}, node: record(arrivals.map((arrival) => arrival.call)) };
  });
}

/** What a replica hands in for the statistics; for `torch` numerics after a meeting on the mean. */
async function partialOf(
  { layer, x, place, session, plan, layout }: Call,
  devices: readonly Device[],
): Promise<Uint8Array | TimedOut | Met<Replanned>> {
  const { device } = x.storage;
  const shard = reducible(x.storage, layout, plan);
  try {
    const args = { x: shard.storage.buffer, layout: shard.layout, firstSample: firstSampleOf(place, plan) };
    if (layer.numerics === 'stable') {
      return await device.reduce({ operation: 'moments', ...args });
    }
    const total = await session.meet(place.index, await device.reduce({ operation: 'total', ...args }), (totals) =>
      mergeFirst(devices, totals, plan, 'total'),
    );
    if (total.kind === 'timed_out') {
      return total;
    }
    const { value } = total;
    return 'replanned' in value
      ? { kind: 'met', value }
      : await device.reduce({ operation: 'deviations', ...args, total: value.merged });
  } finally {
    shard.storage.release();
  }
}

function shardOf({ layer, x, place, plan, layout, outputs, isRecorded }: Call): Shard {
  return {
    x,
    storage: x.storage,
    shape: x.shape,
    layout,
    firstSample: firstSampleOf(place, plan),
    statistics: outputs.statistics,
    weight: layer.weight?.storage ?? null,
    clampEps: layer.epsMode === 'clamp' ? layer.eps : null,
    isRecorded,
  };
}

/** What a device is told. */
function argumentsOf({ layer, x, place, plan, layout, outputs }: Call): GroupForwardArguments {
  const { numerics, eps, epsMode, weight, bias } = layer;
  const { y, statistics } = outputs;
  return {
    x: x.storage.buffer,
    y: y.buffer,
    layout: shardLayout(layout),
    firstSample: firstSampleOf(place, plan),
    numerics,
    eps,
    epsMode,
    weight: weight?.storage.buffer ?? null,
    bias: bias?.storage.buffer ?? null,
    statistics: statistics.buffer,
  };
}

/** Where the running statistics are renewed; `null` where none are kept. Those of now, for a layer may be called twice at once. */
function updateOf({
  layer,
  outputs: { next },
}: Call): Omit<Fields<(typeof commands)['updateRunning']>, 'merged'> | null {
  const running = layer.runningStatistics();
  return (
    next &&
    running && {
      mean: running.mean.storage.buffer,
      variance: running.variance.storage.buffer,
      nextMean: next.mean.buffer,
      nextVariance: next.variance.buffer,
      momentum: layer.averageFactor ?? 0,
      correction: layer.varianceCorrection,
    }
  );
}

function commit({ layer, place, outputs: { next } }: Call, origin: object): void {
  if (layer.averageFactor !== null) {
    if (next !== null && hasOriginalStatistics(layer, place)) {
      next.mean.origin = next.variance.origin = origin;
    }
    layer.commitBatch(next);
    // The call keeps the references that it releases at its end.
    next?.mean.retain();
    next?.variance.retain();
  }
}

/** Normalizes with the merged statistics, unless that is being done. */
async function complete(call: Call, { merged, origin, node }: Merged): Promise<Tensor> {
  const { x, place, outputs } = call;
  const { y } = outputs;
  try {
    if (merged !== null) {
      const { device } = y;
      const args = argumentsOf(call);
      device.run({ ...args, operation: 'finalize', merged });
      const update = updateOf(call);
      if (update !== null) {
        device.run({ ...update, operation: 'updateRunning', merged });
      }
      device.run({ ...args, operation: 'normalize' });
      await confirmation([y, outputs.next?.mean, outputs.next?.variance]);
      commit(call, origin);
    }
    return outputOf(x, y.retain(), node, place.index);
  } finally {
    node?.release();
  }
}

/**
 * Whether a replica renews its running statistics. Replica 0 does, whose state is the one that is kept; another does, to the same
 * bits, where that spares sending them before the next forward.
 */
function renewsRunning(layer: SynchronizedLayer, place: MeetingPlace): boolean {
  const { index, devices } = place;
  return (
    index === 0 ||
    (hasOriginalStatistics(layer, place) &&
      computeAlike(deviceByName(devices[index] ?? ''), deviceByName(devices[0] ?? '')))
  );
}

/** Whether a replica's running statistics are still those that the forward began with. */
function hasOriginalStatistics(layer: SynchronizedLayer, place: MeetingPlace): boolean {
  const original = originalOf(place);
  const isCopy = (own: Tensor | null, copy: Tensor | null): boolean =>
    copy !== null && own?.copies.has(copy.storage) === true;
  return isCopy(original.runningMean, layer.runningMean) && isCopy(original.runningVar, layer.runningVar);
}

/** Whether two devices give the same bits: GPUs of different adapters may not. */
function computeAlike(a: Device, b: Device): boolean {
  return a.kind === b.kind && (a.kind !== 'webgpu' || a.details().adapter === b.details().adapter);
}

/** Takes over the reference to `y`, and disposes `x` when it was donated. */
function outputOf(x: Tensor, y: Storage, node: GraphNode<Tensor> | null, index: number): Tensor {
  const { shape, memoryFormat } = x;
  const source = node === null ? null : { node, index };
  const output = new Tensor({ storage: y, shape, memoryFormat, source });
  if (x.isDonated) {
    x.dispose();
  }
  return output;
}

/**
 * Every replica comes here when one does. A share too small for statistics of its own fails, and with it the forward of
 * all: no result is ever made of both kinds of statistics.
 */
function fallBack(
  layer: SynchronizedLayer,
  x: Tensor,
  place: MeetingPlace,
  cause: SyncTimeoutError,
): Tensor | Promise<Tensor> {
  const { samples, length } = batchLayout(x.shape, x.memoryFormat);
  if (samples * length === 1) {
    throw new RangeError(
      `Expected more than 1 value per channel when training, got input size ${formatShape(x.shape)} on replica ${place.index}, ` +
        `which had to go on alone: ${cause.message}`,
      { cause },
    );
  }
  warnOfLocalStatistics(place, 'time-out', cause.message);
  return layer.forwardLocally(x);
}

/** The layer that the replicas were copied from. */
function originalOf({ original }: MeetingPlace): BatchNorm {
  if (original instanceof BatchNorm) {
    return original;
  }
  throw new TypeError('synchronized_batch_norm: expected a copy of a batch norm layer');
}

function firstSampleOf({ index }: MeetingPlace, { firstSamples }: BatchPlan): number {
  return firstSamples[index] ?? 0;
}

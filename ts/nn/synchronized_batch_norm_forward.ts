/**
 * The training forward of one replica of a synchronized layer. The replicas meet with their shares of the batch. Where their devices
 * exchange partials among themselves, the last to come gives all of them one command. Elsewhere they meet on their partial statistics;
 * each then finalizes the merged ones and normalizes on its own device. `torch` numerics meet once more, for the mean of the whole batch
 * comes before the deviations from it.
 */

import { awaited } from '../device/awaited.ts';
import { STATISTICS_ROWS, type BatchLayout, type Device, type GroupForwardArguments } from '../device/device.ts';
import { finishForward } from '../device/joint_pass.ts';
import { deviceByName } from '../device/registry.ts';
import type { SyncTimeoutError } from '../errors.ts';
import { MeetingPoint } from '../sync/meeting_point.ts';
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
import { noteLayerPath, type ReplicaPlace } from './replica.ts';
import { recordJointly, type Shard } from './synchronized_batch_norm_backward.ts';
import { warnOfLocalStatistics } from './synchronized_batch_norm_place.ts';
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

/** What the first meeting gives to every replica. */
interface Begun {
  readonly plan: BatchPlan;
  /** `null` unless the devices work on the batch among themselves. */
  readonly joint: Joint | null;
}

/** What all replicas have in common once their devices have got their commands. */
interface Joint {
  /** The node of all replicas, with one reference for each; `null` when nothing is recorded. */
  readonly node: GraphNode<Tensor> | null;
}

/** What the last meeting gives to every replica where the devices do not work among themselves. */
interface Merged extends Joint {
  /** Merged moments, or deviations, of the whole batch. */
  readonly merged: Uint8Array;
  /** Names what all replicas compute from the statistics of the batch. */
  readonly origin: object;
}

/** What replicas get instead when the ranks of a process group had other shapes than was predicted. */
interface Replanned {
  readonly replanned: BatchPlan;
}

/** Memory for what a replica computes. */
interface Outputs {
  /** Memory of x where it is overwritten. */
  readonly y: Storage;
  /** Statistics of the whole batch. */
  readonly statistics: Storage;
  /** The next running statistics; `null` where none are kept. */
  readonly next: RunningStatistics<Storage> | null;
  /** The references that the call holds, and releases at its end: who keeps something takes a reference of its own. */
  readonly taken: readonly Storage[];
}

/** One replica's call of the layer. */
interface Call {
  /** Its place in the order of nodes. */
  readonly sequence: number;
  readonly layer: SynchronizedLayer;
  readonly x: Tensor;
  readonly place: ReplicaPlace;
  readonly meetingPoint: MeetingPoint;
  readonly session: Session;
  readonly layout: BatchLayout;
  readonly outputs: Outputs;
  readonly isRecorded: boolean;
  readonly announcement: Announcement;
}

/**
 * Normalizes one replica's share of a batch.
 * @param sequence - the place of the call in the order of nodes.
 * @throws what the layer throws by itself; RangeError when the whole batch has one value per channel; SyncTimeoutError and
 * SyncDeadlockError when the others do not come; ReplicaError when one of them fails.
 */
export async function synchronizedForward(
  layer: SynchronizedLayer,
  x: Tensor,
  place: ReplicaPlace,
  sequence: number,
): Promise<Tensor> {
  // A layer outside of replicas has nobody else to refuse changes meanwhile.
  const end = place.original === layer ? beginForward([{ module: layer }]) : null;
  let taken: readonly Storage[] = [];
  // Whatever need not be awaited is not: each promise takes as long as a step of a small layer.
  try {
    const device = checkTensor(x, 'the input');
    if (!device.isReady) {
      await device.ready();
    }
    layer.checkInput(x);
    checkSynchronization(layer);
    const { syncTimeout: timeoutSeconds, onTimeout } = layer;
    const meetingPoint = place.meetingPoint ?? new MeetingPoint(place.devices);
    const session = meetingPoint.attend(place.index, place.path, { timeoutSeconds, onTimeout });
    const isRecorded = isGradEnabled();
    const announcement = announcementOf(layer, x, place, isRecorded);
    const layout = batchLayout(x.shape, x.memoryFormat);
    // Before the meeting: nobody finds out after it that there is no room.
    const allocating = awaited([device], () => allocate(layer, x, place, announcement.wantsGradient));
    const outputs = allocating instanceof Promise ? await allocating : allocating;
    taken = outputs.taken;
    const call = { sequence, layer, x, place, meetingPoint, session, layout, outputs, isRecorded, announcement };
    const meeting = session.meet(place.index, call, beginTogether);
    const begun = meeting instanceof Promise ? await meeting : meeting;
    if (begun.kind === 'timed_out') {
      return await fallBack(call, begun.error);
    }
    const { plan, joint } = begun.value;
    if (joint === null) {
      return await goOnInSteps(call, plan);
    }
    const y = outputOf(call, outputs.y, joint);
    joint.node?.release();
    return y;
  } catch (error) {
    noteLayerPath(error, place.path);
    layer.processGroup?.abort?.(error);
    throw error;
  } finally {
    taken.forEach((storage) => storage.release());
    end?.();
  }
}

/** The rest of a call whose devices do not work among themselves; once more when the ranks had other shapes than was predicted. */
async function goOnInSteps(call: Call, plan: BatchPlan): Promise<Tensor> {
  const { sequence, layer, x, outputs } = call;
  if (plan.count === 0) {
    return layer.forwardLocally(x, sequence);
  }
  const { device, length } = x.storage;
  const own = losesInput(call, plan) ? await awaited([device], () => Storage.allocate(device, length)) : null;
  try {
    const safe = own === null ? call : { ...call, outputs: { ...outputs, y: own } };
    const outcome = await meetOnStatistics(safe, plan);
    if (outcome.kind === 'timed_out') {
      return await fallBack(call, outcome.error);
    }
    return await ('merged' in outcome.value
      ? complete(safe, plan, outcome.value)
      : goOnInSteps(call, outcome.value.replanned));
  } finally {
    own?.release();
  }
}

function announcementOf(layer: SynchronizedLayer, x: Tensor, place: ReplicaPlace, isRecorded: boolean): Announcement {
  const { numerics, eps, epsMode, otherThanBatchStatistics: otherwise } = layer;
  const { weight, bias } = originalOf(place);
  const wantsGradient = isRecorded && (x.requiresGrad || weight?.requiresGrad === true || bias?.requiresGrad === true);
  return { shape: x.shape, numerics, eps, epsMode, otherwise, wantsGradient };
}

/** @param isRecorded - whether the replica records the call, so that x must stay. */
function allocate(layer: SynchronizedLayer, x: Tensor, place: ReplicaPlace, isRecorded: boolean): Outputs {
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
    const y = !isRecorded && x.isOverwritable ? x.storage : take(length);
    const isUpdated = layer.averageFactor !== null && layer.runningStatistics() !== null && renewsRunning(layer, place);
    const next = isUpdated ? { mean: take(channels), variance: take(channels) } : null;
    return { y, statistics, next, taken };
  } catch (error) {
    taken.forEach((storage) => storage.release());
    throw error;
  }
}

/** Makes one batch of all shares, and gives the devices their command where they exchange partials among themselves. */
function beginTogether(calls: readonly Call[]): Begun | Promise<Begun> {
  const own = calls.map(({ announcement }) => announcement);
  const [first] = calls;
  if (first === undefined) {
    throw new RangeError('synchronized_batch_norm: expected at least one replica, got none');
  }
  const { layer, place, meetingPoint } = first;
  const devices = place.devices.map(deviceByName);
  const ranks = ranksOf(layer);
  if (ranks !== null) {
    return planWithRanks(place.original, ranks, devices, own).then((plan) => ({ plan, joint: null }));
  }
  const plan = planBatch(own);
  const isSplit = plan.count === 0 || layer.numerics !== 'stable' || calls.some((call) => losesInput(call, plan));
  const group = isSplit ? null : groupOf(devices, plan);
  if (group === null) {
    return { plan, joint: null };
  }
  const origin = {};
  meetingPoint.groups.add(group);
  group.batchNorm(calls.map((call) => argumentsOf(call, plan)));
  calls.forEach((call) => commit(call, origin));
  return { plan, joint: { node: recordTogether(calls, plan) } };
}

/** Whether the replica's result would be written over an input that another replica has recorded. */
function losesInput({ x, outputs }: Call, plan: BatchPlan): boolean {
  return plan.isRecorded && outputs.y === x.storage;
}

/** Gradients of weight and bias go to the original's once, not through the copies of every replica. */
function recordTogether(calls: readonly Call[], plan: BatchPlan): GraphNode<Tensor> | null {
  const [first] = calls;
  if (first === undefined || !plan.isRecorded) {
    return null;
  }
  const { weight, bias } = originalOf(first.place);
  return recordJointly(
    calls.map((call) => shardOf(call, plan)),
    weight,
    bias,
    plan,
  );
}

/** Meets the others with partial statistics, to merge them. */
async function meetOnStatistics(call: Call, plan: BatchPlan): Promise<Outcome<Merged | Replanned>> {
  const { layer, place, session } = call;
  const devices = place.devices.map(deviceByName);
  const partial = await partialOf(call, plan, devices);
  if ('kind' in partial) {
    return partial;
  }
  return session.meet(place.index, { partial, call }, async (arrivals) => {
    const partials = arrivals.map((arrival) => arrival.partial);
    const first: FirstMerge =
      layer.numerics === 'stable'
        ? await mergeFirst(devices, partials, plan, 'moments')
        : { merged: await mergeAgain(devices, partials, plan, 'deviations', 'deviations') };
    if ('replanned' in first) {
      return first;
    }
    const calls = arrivals.map((arrival) => arrival.call);
    return { merged: first.merged, origin: {}, node: recordTogether(calls, plan) };
  });
}

/** What a replica hands in for the statistics; for `torch` numerics after a meeting on the mean. */
async function partialOf(
  { layer, x, place, session, layout }: Call,
  plan: BatchPlan,
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

function shardOf({ sequence, layer, x, place, layout, outputs, isRecorded }: Call, plan: BatchPlan): Shard {
  return {
    sequence,
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

/** What a device is told. The running statistics are those of now, for a layer may be called twice at once. */
function argumentsOf({ layer, x, place, layout, outputs }: Call, plan: BatchPlan): GroupForwardArguments {
  const { numerics, eps, epsMode, weight, bias } = layer;
  const { y, statistics, next } = outputs;
  const running = next && layer.runningStatistics();
  return {
    x: x.storage.buffer,
    y: y.buffer,
    layout: shardLayout(layout),
    firstSample: firstSampleOf(place, plan),
    numerics,
    eps,
    epsMode,
    weight: weight?.storage.buffer,
    bias: bias?.storage.buffer,
    statistics: statistics.buffer,
    mean: running?.mean.storage.buffer,
    variance: running?.variance.storage.buffer,
    nextMean: next?.mean.buffer,
    nextVariance: next?.variance.buffer,
    momentum: layer.averageFactor,
    correction: layer.varianceCorrection,
  };
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

/** Normalizes with the merged statistics. */
async function complete(call: Call, plan: BatchPlan, result: Merged): Promise<Tensor> {
  const { y, next } = call.outputs;
  try {
    finishForward(argumentsOf(call, plan))(result.merged).forEach((command) => y.device.run(command));
    await confirmation([y, next?.mean, next?.variance]);
    commit(call, result.origin);
    return outputOf(call, y, result);
  } finally {
    result.node?.release();
  }
}

/**
 * Whether a replica renews its running statistics. Replica 0 does, whose state is the one that is kept; another does, to the same
 * bits, where that spares sending them before the next forward.
 */
function renewsRunning(layer: SynchronizedLayer, place: ReplicaPlace): boolean {
  const { index, devices } = place;
  return (
    index === 0 ||
    (hasOriginalStatistics(layer, place) &&
      computeAlike(deviceByName(devices[index] ?? ''), deviceByName(devices[0] ?? '')))
  );
}

/** Whether a replica's running statistics are still those that the forward began with. */
function hasOriginalStatistics(layer: SynchronizedLayer, place: ReplicaPlace): boolean {
  const original = originalOf(place);
  const isCopy = (own: Tensor | null, copy: Tensor | null): boolean =>
    copy !== null && own?.copies.has(copy.storage) === true;
  return isCopy(original.runningMean, layer.runningMean) && isCopy(original.runningVar, layer.runningVar);
}

/** Whether two devices give the same bits: GPUs of different adapters may not. */
function computeAlike(a: Device, b: Device): boolean {
  return a.kind === b.kind && (a.kind !== 'webgpu' || a.details().adapter === b.details().adapter);
}

/** The output in memory that it takes a reference to. Disposes `x` when it was donated. */
function outputOf({ x, place }: Call, y: Storage, { node }: Joint): Tensor {
  const { shape, memoryFormat } = x;
  const source = node === null ? null : { node, index: place.index };
  const output = new Tensor({ storage: y.retain(), shape, memoryFormat, source });
  if (x.isDonated) {
    x.dispose();
  }
  return output;
}

/**
 * Every replica comes here when one does. A share too small for statistics of its own fails, and with it the forward of
 * all: no result is ever made of both kinds of statistics.
 */
function fallBack({ sequence, layer, x, place }: Call, cause: SyncTimeoutError): Tensor | Promise<Tensor> {
  const { samples, length } = batchLayout(x.shape, x.memoryFormat);
  if (samples * length === 1) {
    throw new RangeError(
      `Expected more than 1 value per channel when training, got input size ${formatShape(x.shape)} on replica ${place.index}, ` +
        `which had to go on alone: ${cause.message}`,
      { cause },
    );
  }
  warnOfLocalStatistics(place, 'time-out', cause.message);
  return layer.forwardLocally(x, sequence);
}

/** The layer that the replicas were copied from. */
function originalOf({ original }: ReplicaPlace): BatchNorm {
  if (original instanceof BatchNorm) {
    return original;
  }
  throw new TypeError('synchronized_batch_norm: expected a copy of a batch norm layer');
}

function firstSampleOf({ index }: ReplicaPlace, { firstSamples }: BatchPlan): number {
  return firstSamples[index] ?? 0;
}

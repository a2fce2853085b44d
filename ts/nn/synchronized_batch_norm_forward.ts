/**
 * The training forward of one replica of a synchronized layer. The replicas meet on their shapes, then on their partial
 * statistics; each then finalizes the merged ones and normalizes on its own device. `torch` numerics meet once more, for
 * the mean of the whole batch comes before the deviations from it.
 */

import { STATISTICS_ROWS, type BatchLayout, type Device } from '../device/device.ts';
import { deviceByName, mergePartials } from '../device/registry.ts';
import type { SyncTimeoutError } from '../errors.ts';
import type { Outcome, Session, TimedOut } from '../sync/session.ts';
import { isGradEnabled } from '../tensor/grad_mode.ts';
import type { GraphNode } from '../tensor/graph_node.ts';
import { batchLayout, formatShape } from '../tensor/shape.ts';
import { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import { BatchNorm } from './batch_norm.ts';
import { checkTensor } from './batch_norm_checks.ts';
import type { RunningStatistics } from './batch_norm_operation.ts';
import { noteLayerPath } from './replica.ts';
import { recordJointly, type Shard } from './synchronized_batch_norm_backward.ts';
import { type MeetingPlace, warnOfLocalStatistics } from './synchronized_batch_norm_place.ts';
import { checkSynchronization, type SynchronizedLayer } from './synchronized_batch_norm_settings.ts';
import { type BatchPlan, planBatch, reducible } from './synchronized_batch_norm_shards.ts';

/** What the last round gives to every replica. */
interface Merged {
  /** Merged moments, or deviations, of the whole batch. */
  readonly merged: Uint8Array;
  /** Names what is computed from them alone. */
  readonly origin: object;
  /** The node of all replicas, with one reference for each; `null` when nothing is recorded. */
  readonly node: GraphNode | null;
}

/**
 * Normalizes one replica's share of a batch.
 * @throws what the layer throws by itself; RangeError when the whole batch has one value per channel; SyncTimeoutError and
 * SyncDeadlockError when the others do not come; ReplicaError when one of them fails.
 */
export async function synchronizedForward(layer: SynchronizedLayer, x: Tensor, place: MeetingPlace): Promise<Tensor> {
  try {
    return await forwardInReplica(layer, x, place);
  } catch (error) {
    noteLayerPath(error, place.path);
    throw error;
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
  const session = place.meetingPoint.attend(place.index, place.path, { timeoutSeconds, onTimeout });
  const planned = await session.meet(place.index, { shape: x.shape, numerics, eps, epsMode }, planBatch);
  if (planned.kind === 'timed_out') {
    return fallBack(layer, x, place, planned.error);
  }
  if (planned.value.count === 0) {
    return layer.forwardLocally(x);
  }
  const layout = batchLayout(x.shape, x.memoryFormat);
  const statistics = Storage.allocate(device, STATISTICS_ROWS * layout.channels);
  try {
    const reduction = { layer, x, place, session, plan: planned.value, layout, statistics };
    const outcome = await reduce(reduction);
    return outcome.kind === 'timed_out' ? fallBack(layer, x, place, outcome.error) : complete(reduction, outcome.value);
  } finally {
    statistics.release();
  }
}

interface Reduction {
  readonly layer: SynchronizedLayer;
  readonly x: Tensor;
  readonly place: MeetingPlace;
  readonly session: Session;
  readonly plan: BatchPlan;
  readonly layout: BatchLayout;
  /** Where the statistics of the whole batch will be. */
  readonly statistics: Storage;
}

/** Meets the others on partial statistics. */
async function reduce(reduction: Reduction): Promise<Outcome<Merged>> {
  const { layer, x, place, session, plan, layout, statistics } = reduction;
  const partial = await partialOf(reduction);
  if (!(partial instanceof Uint8Array)) {
    return partial;
  }
  const shard: Shard = {
    x,
    storage: x.storage,
    shape: x.shape,
    layout,
    firstSample: plan.firstSamples[place.index] ?? 0,
    statistics,
    weight: layer.weight?.storage ?? null,
    clampEps: layer.epsMode === 'clamp' ? layer.eps : null,
    isRecorded: isGradEnabled(),
  };
  // Gradients of weight and bias go to the original's once, not through the copies of every replica.
  const { weight, bias } = originalOf(place);
  return session.meet(place.index, { partial, shard }, async (arrivals) => {
    const merged = await mergePartials(
      devicesOf(place),
      arrivals.map((arrival) => arrival.partial),
    );
    const shards = arrivals.map((arrival) => arrival.shard);
    return { merged, origin: {}, node: recordJointly(shards, weight, bias, plan) };
  });
}

async function partialOf({ layer, x, place, session, plan, layout }: Reduction): Promise<Uint8Array | TimedOut> {
  const { device } = x.storage;
  const shard = reducible(x.storage, layout, plan);
  try {
    const firstSample = plan.firstSamples[place.index] ?? 0;
    const args = { x: shard.storage.buffer, layout: shard.layout, firstSample };
    if (layer.numerics === 'stable') {
      return await device.moments(args);
    }
    const total = await session.meet(place.index, await device.total(args), (totals) =>
      mergePartials(devicesOf(place), totals),
    );
    return total.kind === 'timed_out' ? total : await device.deviations({ ...args, total: total.value });
  } finally {
    shard.storage.release();
  }
}

/** Normalizes with the merged statistics, and renews the running ones. */
function complete({ layer, x, place, layout, statistics }: Reduction, { merged, origin, node }: Merged): Tensor {
  const { numerics, eps, epsMode, weight, bias } = layer;
  const { device, length } = x.storage;
  const taken: Storage[] = [];
  const take = (size: number): Storage => {
    const storage = Storage.allocate(device, size);
    taken.push(storage);
    return storage;
  };
  try {
    const overwrites = node === null && x.isOverwritable;
    const y = overwrites ? x.storage : take(length);
    const running = layer.averageFactor === null ? null : runningToRenew(layer, place, device);
    const next = running && { mean: take(layout.channels), variance: take(layout.channels) };
    device.finalize({ merged, eps, epsMode, statistics: statistics.buffer });
    if (running !== null && next !== null) {
      device.updateRunning({
        merged,
        running: {
          mean: running.mean.storage.buffer,
          variance: running.variance.storage.buffer,
          nextMean: next.mean.buffer,
          nextVariance: next.variance.buffer,
          momentum: layer.averageFactor ?? 0,
        },
      });
    }
    device.normalize({
      x: x.storage.buffer,
      y: y.buffer,
      layout,
      numerics,
      statistics: statistics.buffer,
      weight: weight?.storage.buffer ?? null,
      bias: bias?.storage.buffer ?? null,
    });
    if (layer.averageFactor !== null) {
      if (next !== null) {
        next.mean.origin = next.variance.origin = origin;
      }
      layer.commitBatch(next);
    }
    return outputOf(x, overwrites ? y.retain() : y, node, place.index);
  } catch (error) {
    taken.forEach((storage) => storage.release());
    throw error;
  } finally {
    node?.release();
  }
}

/**
 * Those of replica 0, whose state is the one that is kept. Other replicas renew theirs, to the same bits, where that spares
 * sending them before the next forward.
 */
function runningToRenew(
  layer: SynchronizedLayer,
  place: MeetingPlace,
  device: Device,
): RunningStatistics<Tensor> | null {
  const running = layer.runningStatistics();
  if (running === null || place.index === 0) {
    return running;
  }
  const [first = device] = devicesOf(place);
  const { runningMean, runningVar } = originalOf(place);
  const isTwin =
    runningMean?.copies.has(running.mean.storage) === true && runningVar?.copies.has(running.variance.storage) === true;
  return isTwin && computeAlike(device, first) ? running : null;
}

/** Whether two devices give the same bits: GPUs of different adapters may not. */
function computeAlike(a: Device, b: Device): boolean {
  return a.kind === b.kind && (a.kind !== 'webgpu' || a.details().adapter === b.details().adapter);
}

/** Takes over the reference to `y`, and disposes `x` when it was donated. */
function outputOf(x: Tensor, y: Storage, node: GraphNode | null, index: number): Tensor {
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
function fallBack(layer: SynchronizedLayer, x: Tensor, place: MeetingPlace, cause: SyncTimeoutError): Tensor {
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

function devicesOf(place: MeetingPlace): Device[] {
  return place.devices.map(deviceByName);
}

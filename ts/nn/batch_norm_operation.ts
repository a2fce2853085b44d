/**
 * Batch norm of a batch that lies on one device as a whole, as one recorded operation. Layers and `functional` check
 * their arguments and take over the running statistics; this file allocates, computes and records.
 */

import { withRoom } from '../device/awaited.ts';
import { STATISTICS_ROWS, type BatchLayout, type Numerics } from '../device/device.ts';
import { isGradEnabled } from '../tensor/grad_mode.ts';
import { type Gradients, GraphNode } from '../tensor/graph_node.ts';
import { batchLayout } from '../tensor/shape.ts';
import { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';

/** The running statistics, both of C values. */
export interface RunningStatistics<T> {
  readonly mean: T;
  readonly variance: T;
}

/** Checked arguments; all tensors are on one device, which is ready. */
export interface BatchNormOperation {
  readonly x: Tensor;
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  /** Read in evaluation; read and renewed in training, unless `factor` is `null`. */
  readonly running: RunningStatistics<Tensor> | null;
  readonly usesBatchStatistics: boolean;
  /** Weight of the new value in the running statistics; `null`: they stay as they are. */
  readonly factor: number | null;
  /** What is subtracted from n in the divisor of the batch's variance where that goes into the running one. */
  readonly correction: 0 | 1;
  readonly eps: number;
  readonly numerics: Numerics;
  /** The place of the call in the order of nodes. */
  readonly sequence: number;
}

/** The output, and the running statistics after the batch, whose references the caller takes over. */
export interface BatchNormResult {
  readonly y: Tensor;
  readonly next: RunningStatistics<Storage> | null;
}

/**
 * Runs the operation. A donated `x` is disposed, and written over when the backward pass does not need it.
 * @throws OutOfMemoryError; nothing has changed then.
 */
export function batchNormOperation(operation: BatchNormOperation): BatchNormResult {
  const { x, weight, bias } = operation;
  const { device, length } = x.storage;
  const layout = batchLayout(x.shape, x.memoryFormat);
  const isRecorded =
    isGradEnabled() && (x.requiresGrad || weight?.requiresGrad === true || bias?.requiresGrad === true);
  const taken: Storage[] = [];
  const take = (size: number): Storage => {
    const storage = Storage.allocate(device, size);
    taken.push(storage);
    return storage;
  };
  try {
    const overwrites = !isRecorded && x.isOverwritable;
    const y = overwrites ? x.storage : take(length);
    const statistics = take(STATISTICS_ROWS * layout.channels);
    const updates = operation.running !== null && operation.factor !== null && layout.samples * layout.length > 0;
    const next = updates ? { mean: take(layout.channels), variance: take(layout.channels) } : null;
    compute(operation, layout, y, statistics, next);
    if (overwrites) {
      y.retain();
    }
    const result = { y: outputOf(operation, layout, y, isRecorded ? statistics : null), next };
    statistics.release();
    if (x.isDonated) {
      x.dispose();
    }
    return result;
  } catch (error) {
    taken.forEach((storage) => storage.release());
    throw error;
  }
}

/** Gives back the output and the next running statistics of a batch that does not count. */
export function discardBatch(y: Tensor, next: RunningStatistics<Storage> | null): void {
  y.dispose();
  next?.mean.release();
  next?.variance.release();
}

function compute(
  operation: BatchNormOperation,
  layout: BatchLayout,
  y: Storage,
  statistics: Storage,
  next: RunningStatistics<Storage> | null,
): void {
  const { x, running, eps, numerics } = operation;
  const { device } = statistics;
  const weight = operation.weight?.storage.buffer;
  const bias = operation.bias?.storage.buffer;
  // The commands are written out: a spread takes longer than a small layer's kernel.
  if (operation.usesBatchStatistics) {
    const updated = operation.factor === null || next === null ? null : running;
    device.run({
      operation: 'batchNorm',
      x: x.storage.buffer,
      y: y.buffer,
      layout,
      numerics,
      eps,
      weight,
      bias,
      statistics: statistics.buffer,
      mean: updated?.mean.storage.buffer,
      variance: updated?.variance.storage.buffer,
      nextMean: updated && next?.mean.buffer,
      nextVariance: updated && next?.variance.buffer,
      momentum: updated && operation.factor,
      correction: updated && operation.correction,
    });
  } else if (running !== null) {
    const mean = running.mean.storage.buffer;
    const variance = running.variance.storage.buffer;
    device.run({ operation: 'evaluationStatistics', mean, variance, numerics, eps, statistics: statistics.buffer });
    device.run({
      operation: 'normalize',
      x: x.storage.buffer,
      y: y.buffer,
      layout,
      numerics,
      statistics: statistics.buffer,
      weight,
      bias,
    });
  } else {
    throw new RangeError('running_mean must be defined in evaluation mode');
  }
}

/** The output tensor, recorded when there are statistics for its backward. Takes over the reference to `y`. */
function outputOf(operation: BatchNormOperation, layout: BatchLayout, y: Storage, statistics: Storage | null): Tensor {
  const { x, weight, bias } = operation;
  const { shape, memoryFormat } = x;
  if (statistics === null) {
    return new Tensor({ storage: y, shape, memoryFormat });
  }
  const saved = [x.storage, statistics];
  if (weight !== null) {
    saved.push(weight.storage);
  }
  const backward: Backward = {
    shape,
    layout,
    x: x.storage,
    statistics,
    weight: weight?.storage ?? null,
    batchStatistics: operation.usesBatchStatistics,
    needsX: x.requiresGrad,
    needsWeight: weight?.requiresGrad === true,
    needsBias: bias?.requiresGrad === true,
  };
  const node = new GraphNode({
    name: 'batch_norm',
    inputs: [x, weight, bias],
    saved,
    sequence: operation.sequence,
    backward: ([dy]) =>
      dy === undefined || dy === null ? [null, null, null] : withRoom(() => runBackward(backward, dy)),
  });
  return new Tensor({ storage: y, shape, memoryFormat, source: { node, index: 0 } });
}

/** What the backward pass needs to know; the node holds the storages. */
interface Backward {
  readonly shape: readonly number[];
  readonly layout: BatchLayout;
  readonly x: Storage;
  readonly statistics: Storage;
  readonly weight: Storage | null;
  readonly batchStatistics: boolean;
  readonly needsX: boolean;
  readonly needsWeight: boolean;
  readonly needsBias: boolean;
}

function runBackward(backward: Backward, dy: Tensor): Gradients<Tensor> {
  if (dy.memoryFormat === backward.layout.format) {
    return gradients(backward, dy.storage, dy.isOverwritable);
  }
  const arranged = dy.inFormat(backward.layout.format);
  try {
    // Made by the conversion, so nobody else holds it.
    return gradients(backward, arranged, true);
  } finally {
    arranged.release();
  }
}

function gradients(backward: Backward, dy: Storage, mayOverwrite: boolean): Gradients<Tensor> {
  const { shape, layout, x, statistics, weight, batchStatistics } = backward;
  const { device } = x;
  const taken: Storage[] = [];
  const take = (isWanted: boolean, length: number): Storage | null => {
    if (!isWanted) {
      return null;
    }
    const storage = Storage.allocate(device, length);
    taken.push(storage);
    return storage;
  };
  try {
    const dx = mayOverwrite && backward.needsX ? dy : take(backward.needsX, dy.length);
    const dweight = take(backward.needsWeight, layout.channels);
    const dbias = take(backward.needsBias, layout.channels);
    device.run({
      operation: 'batchNormBackward',
      x: x.buffer,
      dy: dy.buffer,
      dx: dx?.buffer ?? null,
      layout,
      statistics: statistics.buffer,
      weight: weight?.buffer ?? null,
      dweight: dweight?.buffer ?? null,
      dbias: dbias?.buffer ?? null,
      batchStatistics,
    });
    const vector = (storage: Storage | null): Tensor | null =>
      storage && new Tensor({ storage, shape: [layout.channels], memoryFormat: 'contiguous' });
    const input = dx && new Tensor({ storage: dx === dy ? dx.retain() : dx, shape, memoryFormat: layout.format });
    return [input, vector(dweight), vector(dbias)];
  } catch (error) {
    taken.forEach((storage) => storage.release());
    throw error;
  }
}

/** What the steps in `functional.ts` have in common: checks, and tensors for their results. */

import { STATISTICS_ROWS, type Device, type DeviceBuffer, type ShardArguments } from '../device/device.ts';
import { DeviceMismatchError } from '../errors.ts';
import { batchLayout, formatShape, sameShape, type Shape } from '../tensor/shape.ts';
import { Storage } from '../tensor/storage.ts';
import { filled, whenConfirmed } from '../tensor/storage_ops.ts';
import { Tensor } from '../tensor/tensor.ts';
import { checkChannels, checkTensor } from './batch_norm_checks.ts';

/**
 * Runs `work` on the device of the tensors, once it is ready.
 * @param tensors - `null` for those that are optional and not given.
 * @throws TypeError, DisposedError, DeviceMismatchError
 */
export async function onDevice<T>(
  operation: string,
  tensors: readonly (Tensor | null)[],
  work: (device: Device) => T | Promise<T>,
): Promise<T> {
  const [device, ...others] = tensors
    .filter((item) => item !== null)
    .map((item, i) => checkTensor(item, `tensor ${i} of functional.${operation}()`));
  if (device === undefined) {
    throw new TypeError(`functional.${operation}(): expected a Tensor, got null`);
  }
  const stranger = others.find((other) => other !== device);
  if (stranger !== undefined) {
    throw new DeviceMismatchError(operation, [device.name, stranger.name]);
  }
  if (!device.isReady) {
    await device.ready();
  }
  const result = await work(device);
  const made = madeIn(result);
  const discard = (): void => made.forEach((item) => item.dispose());
  return whenConfirmed(
    made.map((item) => item.storage),
    () => result,
    discard,
  );
}

/** The tensors of a result: one, some by name, or none. */
function madeIn(result: unknown): readonly Tensor[] {
  if (result instanceof Tensor) {
    return [result];
  }
  const isRecord = typeof result === 'object' && result !== null && !ArrayBuffer.isView(result);
  return isRecord ? Object.values(result).filter((item) => item instanceof Tensor) : [];
}

/** A batch, or a shard of one, as devices take it. @throws RangeError unless it is at least (N, C). */
export function checkShard(x: Tensor, firstSample = 0): ShardArguments {
  if (x.shape.length < 2) {
    throw new RangeError(`expected a batch of shape (N, C, …), got ${formatShape(x.shape)}`);
  }
  if (!Number.isSafeInteger(firstSample) || firstSample < 0) {
    throw new RangeError(`firstSample: expected a non-negative integer, got ${firstSample}`);
  }
  return { x: x.storage.buffer, layout: batchLayout(x.shape, x.memoryFormat), firstSample };
}

/** @throws RangeError unless the gradient has the shape of the batch. */
export function checkMatching(dy: Tensor, x: Tensor): void {
  if (!sameShape(dy.shape, x.shape)) {
    throw new RangeError(`expected dy of the shape ${formatShape(x.shape)} of x, got ${formatShape(dy.shape)}`);
  }
}

/** @throws RangeError unless the statistics are of shape [4, C] and the vectors of shape [C]. */
export function checkStatistics(statistics: Tensor, channels: number, vectors: readonly (Tensor | null)[]): void {
  if (!sameShape(statistics.shape, [STATISTICS_ROWS, channels])) {
    throw new RangeError(
      `expected statistics of shape [${STATISTICS_ROWS}, ${channels}], got ${formatShape(statistics.shape)}`,
    );
  }
  checkChannels(
    [1, channels],
    [
      ['weight', vectors[0] ?? null],
      ['bias', vectors[1] ?? null],
    ],
  );
}

/** A contiguous tensor filled by `fill`. */
export function vector(device: Device, shape: Shape, fill: (target: DeviceBuffer) => void): Tensor {
  const length = shape.reduce((product, size) => product * size, 1);
  return new Tensor({ storage: filled(device, length, fill), shape, memoryFormat: 'contiguous' });
}

/**
 * A tensor of the shape and memory format of `x`, computed from `source` element by element: over its memory, where that is
 * offered and arranged alike.
 * @param compute - gets the target and the values of `source` in the format of `x`; the two may be one.
 */
export function like(source: Tensor, x: Tensor, compute: (target: DeviceBuffer, source: DeviceBuffer) => void): Tensor {
  const { shape, memoryFormat } = x;
  const isArranged = source.memoryFormat === memoryFormat;
  const overwrites = !isArranged || source.isOverwritable;
  const arranged = source.inFormat(memoryFormat);
  try {
    // What was rearranged is a copy of our own, so the result may take its place.
    const target = overwrites ? arranged.retain() : Storage.allocate(arranged.device, arranged.length);
    try {
      compute(target.buffer, arranged.buffer);
    } catch (error) {
      target.release();
      throw error;
    }
    if (source.isDonated) {
      source.dispose();
    }
    return new Tensor({ storage: target, shape, memoryFormat });
  } finally {
    arranged.release();
  }
}

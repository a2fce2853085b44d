/** What the steps in `functional.ts` have in common: checks, and tensors for their results. */

import { awaited, isSynchronous } from '../device/awaited.ts';
import { checkCommandable, readableAtOnce } from '../device/calling_thread.ts';
import type { reductions } from '../device/commands.ts';
import type { CpuDevice } from '../device/cpu_device.ts';
import { STATISTICS_ROWS, type Device, type DeviceBuffer, type Fields, type Reduction } from '../device/device.ts';
import { kernelsFor } from '../device/host.ts';
import { DeviceMismatchError, NotInitializedError, PartialError } from '../errors.ts';
import { batchLayout, formatShape, sameShape, type Shape } from '../tensor/shape.ts';
import { Storage } from '../tensor/storage.ts';
import { filled, whenConfirmed } from '../tensor/storage_ops.ts';
import { Tensor } from '../tensor/tensor.ts';
import { type ChannelVectors, checkLengths, checkTensor } from './batch_norm_checks.ts';
import { deviceRemedy } from './device_remedy.ts';
import { checkPartial, type PartialWanted, rangeOf } from './partial_header.ts';

/** Tensors by the names of the arguments. */
type NamedTensors = Readonly<Record<string, Tensor>>;

/**
 * Runs `work` on the device of the tensors, once it is ready; in a synchronous call at once.
 * @param tensors - all that take part, by the names of the arguments; see {@link present} for optional ones.
 * @throws TypeError, DisposedError, DeviceMismatchError
 */
export function onDevice<T>(
  operation: string,
  tensors: NamedTensors,
  work: (device: Device) => T | Promise<T>,
): T | Promise<T> {
  const device = deviceOf(operation, tensors);
  if (isSynchronous()) {
    checkCommandable(device, `functional.${operation}Sync()`, `await functional.${operation}()`);
    return work(device);
  }
  return awaited([device], () => confirmed(work(device)));
}

/** The same for work that checks partials, in the calling thread: see {@link checkWhole}. */
export function onDeviceWithPartials<T>(
  operation: string,
  tensors: NamedTensors,
  work: (device: Device) => T | Promise<T>,
): T | Promise<T> {
  const device = deviceOf(operation, tensors);
  const kernels = kernelsFor(device);
  if (!isSynchronous()) {
    return awaited([device, kernels], () => confirmed(work(device)));
  }
  return onDevice(operation, tensors, () => {
    if (!kernels.isReady) {
      throw new NotInitializedError(device.name);
    }
    return work(device);
  });
}

/** The device of a step whose result is read, in a synchronous call. @throws as {@link readableAtOnce} */
export function readableStep(device: Device, operation: string): CpuDevice {
  return readableAtOnce(device, `functional.${operation}Sync()`, `await functional.${operation}()`);
}

/** A partial of a shard; at once in a synchronous call. */
export function reduced(device: Device, reduction: Reduction): Uint8Array | Promise<Uint8Array> {
  return isSynchronous() ? readableStep(device, reduction.operation).reduceNow(reduction) : device.reduce(reduction);
}

/** Tensors that are optional, without those that were not given. */
export function present(tensors: Readonly<Record<string, Tensor | null>>): NamedTensors {
  return Object.fromEntries(Object.entries(tensors).filter((entry): entry is [string, Tensor] => entry[1] !== null));
}

function deviceOf(operation: string, tensors: NamedTensors): Device {
  const [device, ...others] = Object.entries(tensors).map(([name, item]) =>
    checkTensor(item, name, `functional.${operation}()`),
  );
  if (device === undefined) {
    throw new TypeError(`functional.${operation}(): expected a tensor at least`);
  }
  const stranger = others.find((other) => other !== device);
  if (stranger !== undefined) {
    throw new DeviceMismatchError(operation, [device.name, stranger.name], deviceRemedy(null));
  }
  return device;
}

/** The result of a step, once its tensors are sure where memory of others takes part. */
async function confirmed<T>(step: T | Promise<T>): Promise<T> {
  const result = await step;
  const made = madeIn(result);
  return whenConfirmed(
    made.map((item) => item.storage),
    () => result,
    () => made.forEach((item) => item.dispose()),
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
export function checkShard(x: Tensor, firstSample = 0): Fields<(typeof reductions)['moments']> {
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
  const named: ChannelVectors = [
    ['weight', vectors[0] ?? null],
    ['bias', vectors[1] ?? null],
  ];
  checkLengths(channels, named, () => `the batch and its statistics have ${channels} channels`);
}

/** A merged partial of a whole batch. */
export interface Whole {
  readonly bytes: Uint8Array;
  /** n, the values per channel. */
  readonly count: number;
}

/**
 * The merged partial of a whole batch, checked to its last byte before the device gets it: a device in another thread could tell of
 * damage only when a result is read, and what it was to replace would be lost by then.
 * @throws PartialError
 */
export function checkWhole(device: Device, partial: unknown, wanted: PartialWanted): Whole {
  const bytes = checkPartial(partial, wanted);
  const { first, samples, length } = rangeOf(kernelsFor(device).mergeBytes(bytes));
  if (samples > 0 && first > 0) {
    throw new PartialError(
      `${wanted.where}: expected the partial of a whole batch, which begins with sample 0, got one that begins with sample ` +
        `${first}; merge those of all shards, in order of samples`,
    );
  }
  return { bytes, count: samples * length };
}

/** A contiguous tensor filled by `fill`. */
export function vector(device: Device, shape: Shape, fill: (target: DeviceBuffer) => void): Tensor {
  const length = shape.reduce((product, size) => product * size, 1);
  return new Tensor({ storage: filled(device, length, fill), shape, memoryFormat: 'contiguous' });
}

/** Two vectors of C values that one command fills; both are given back when it fails. */
export function filledPair(
  device: Device,
  channels: number,
  fill: (first: DeviceBuffer, second: DeviceBuffer) => void,
): readonly [Storage, Storage] {
  const first = Storage.allocate(device, channels);
  try {
    const second = filled(device, channels, (buffer) => fill(first.buffer, buffer));
    return [first, second];
  } catch (error) {
    first.release();
    throw error;
  }
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

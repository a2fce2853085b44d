/** Reading the values of a tensor: in which order, and into which array. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue, quoteValue } from '../describe_value.ts';
import { CpuDevice } from '../device/cpu_device.ts';
import type { BatchLayout } from '../device/device.ts';
import { adviceForGone, float32ViewOf } from '../typed_array.ts';
import type { Storage } from './storage.ts';
import { holding, inFormat } from './storage_ops.ts';

/**
 * In which order the values of a tensor stand in an array: `'logical'`, as the shape counts them, (N, C, …), whatever the memory format;
 * or `'memory'`, as they lie, which for `'channels_last'` is (N, …, C) and copies the bytes without rearranging them.
 */
export type DataOrder = 'logical' | 'memory';

/** How values go in and out of a tensor. */
export interface DataOptions {
  /** Default `'logical'`. */
  readonly order?: DataOrder;
}

const dataOptions: KnownOptions<DataOptions> = { order: 'string' };

/** What a call of `data()` asks for. */
export interface Reading {
  readonly where: string;
  readonly order: DataOrder;
  /** Where the caller wants the values; `null`: in a new array. */
  readonly target: Float32Array | null;
}

/** @throws TypeError for options that are none, or another order. */
export function orderOf(where: string, options: unknown): DataOrder {
  checkOptions<DataOptions>(where, options, dataOptions);
  const { order = 'logical' } = (options as { readonly order?: unknown } | undefined) ?? {};
  if (order !== 'logical' && order !== 'memory') {
    throw new TypeError(`${where}: expected order to be 'logical' or 'memory', got ${quoteValue(order)}`);
  }
  return order;
}

/**
 * The arguments of `data()`, which are an array and options, or one of the two.
 * @param length - of the tensor.
 * @throws TypeError for another target than a `Float32Array`, RangeError for one of another length.
 */
export function readingOf(where: string, length: number, first: unknown, second: unknown): Reading {
  const hasTarget = ArrayBuffer.isView(first) || Array.isArray(first) || second !== undefined;
  const target = hasTarget ? first : undefined;
  const order = orderOf(where, hasTarget ? second : first);
  if (target === undefined) {
    return { where, order, target: null };
  }
  checkTarget(where, target, length);
  // The array itself, which the caller gets back; see {@link checkTarget} for how it is written.
  return { where, order, target: target as Float32Array };
}

/** @returns a view of the caller's array, whatever its realm and kind of memory. */
function checkTarget(where: string, target: unknown, length: number): Float32Array {
  const view = float32ViewOf(target);
  if (view === null) {
    throw new TypeError(`${where}: expected a Float32Array to put the values into, got ${describeValue(target)}`);
  }
  if (view.length !== length) {
    const advice = adviceForGone(view);
    throw new RangeError(`${where}: expected a Float32Array of ${length} values, got one of ${view.length}${advice}`);
  }
  return view;
}

/** The values, in the array that the caller gave or in a new one. */
export function readValues(source: Storage, layout: BatchLayout, reading: Reading): Promise<Float32Array> {
  const { pendingData, device } = source;
  if (pendingData !== null && isArranged(layout, reading)) {
    // Waits for nothing, not even for the device. What the array refuses rejects the promise.
    return Promise.resolve().then(() => deliver(pendingData.slice(), reading));
  }
  return holding([source], async () => {
    if (device instanceof CpuDevice) {
      return readValuesNow(source, layout, reading, device);
    }
    const arranged = arrange(source, layout, reading);
    try {
      return deliver(await device.read(arranged.buffer), reading);
    } finally {
      arranged.release();
    }
  });
}

/**
 * The same at once.
 * @param device - that of the memory, ready.
 */
export function readValuesNow(source: Storage, layout: BatchLayout, reading: Reading, device: CpuDevice): Float32Array {
  const arranged = arrange(source, layout, reading);
  try {
    const { buffer } = arranged;
    const { length } = buffer;
    const { where, target } = reading;
    const array = target ?? new Float32Array(length);
    device.readInto({ buffer, offset: 0, stride: length }, length, 1, checkTarget(where, array, length));
    return array;
  } finally {
    arranged.release();
  }
}

/** The memory in the order wanted, as a reference to release; the device is ready. */
function arrange(source: Storage, layout: BatchLayout, reading: Reading): Storage {
  return isArranged(layout, reading) ? source.retain() : inFormat(source, layout, 'contiguous');
}

function isArranged({ format }: BatchLayout, { order }: Reading): boolean {
  return order === 'memory' || format === 'contiguous';
}

/** Values that are there, in the array that the caller wants them in. */
function deliver(values: Float32Array, { where, target }: Reading): Float32Array {
  if (target === null) {
    return values;
  }
  checkTarget(where, target, values.length).set(values);
  return target;
}

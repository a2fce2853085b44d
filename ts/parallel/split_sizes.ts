/** How large each device's share of a batch is. */

import { describeValue } from '../describe_value.ts';
import { formatShape, type Shape } from '../tensor/shape.ts';

/**
 * Sizes of the shares, one per device in order of devices: fixed ones, or a function of the size of the batch, which also fits the last
 * and smaller batch of an epoch. 0 is an empty share.
 */
export type SplitSizes = readonly number[] | ((size: number) => readonly number[]);

/**
 * Sizes of the chunks of a dimension for k devices: ⌈size / k⌉ each, so that there may be fewer chunks than devices.
 * A dimension of size 0 is one empty chunk. Source: `torch.chunk`.
 */
export function chunkSizes(size: number, devices: number): number[] {
  const chunk = Math.max(Math.ceil(size / devices), 1);
  const count = Math.max(Math.ceil(size / chunk), 1);
  return Array.from({ length: count }, (_, i) => Math.min(chunk, size - i * chunk));
}

/**
 * What was given as sizes, of which the caller keeps no array that he could change.
 * @throws TypeError or RangeError for what are no sizes, whatever the batch.
 */
export function checkSplitSizes(given: unknown): SplitSizes | null {
  if (given === null || typeof given === 'function') {
    return given as SplitSizes | null;
  }
  return listOfSizes(given);
}

/**
 * The sizes for a tensor.
 * @param dim - the dimension that is cut, counted from the front.
 * @throws TypeError for what are no sizes; RangeError unless there is one per device and they add up to the dimension.
 */
export function sizesFor(splitSizes: SplitSizes, shape: Shape, dim: number, devices: number): readonly number[] {
  const size = shape[dim] ?? 0;
  const sizes = listOfSizes(typeof splitSizes === 'function' ? splitSizes(size) : splitSizes);
  if (sizes.length !== devices) {
    throw new RangeError(
      `splitSizes: expected one size for each of ${devices} devices, got ${sizes.length} in ${formatShape(sizes)}; 0 is an empty share`,
    );
  }
  const sum = sizes.reduce((total, each) => total + each, 0);
  if (sum !== size) {
    throw new RangeError(
      `splitSizes: expected sizes that add up to ${size}, dimension ${dim} of an input of shape ${formatShape(shape)}, got ` +
        `${formatShape(sizes)}, which add up to ${sum}; a function of the size may serve batches of several sizes`,
    );
  }
  return sizes;
}

function listOfSizes(given: unknown): readonly number[] {
  if (!Array.isArray(given)) {
    throw new TypeError(
      `splitSizes: expected an array of sizes such as [5, 3], or a function that returns one, got ${describeValue(given)}`,
    );
  }
  // `map` passes over holes; `Array.from` reads them as `undefined`.
  const sizes = Array.from(given, (size: unknown) => {
    if (typeof size !== 'number') {
      throw new TypeError(`splitSizes: expected an array of numbers, got ${describeValue(size)} in it`);
    }
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new RangeError(`splitSizes: expected non-negative integers, got ${size}`);
    }
    return size;
  });
  return Object.freeze(sizes);
}

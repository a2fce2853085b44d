/** The option that tells how large each device's share of a batch is. */

import { describeValue } from '../describe_value.ts';

/**
 * Sizes of the shares, one per device in order of devices: fixed ones, or a function of the size of the batch, which also fits the last
 * and smaller batch of an epoch. 0 is an empty share.
 */
export type SplitSizes = readonly number[] | ((size: number) => readonly number[]);

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

/** @throws TypeError or RangeError for what is no list of sizes. */
export function listOfSizes(given: unknown): readonly number[] {
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

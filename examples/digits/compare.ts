/** How far the runs are from the one-device run that they should equal. */

import type { RunRecord } from './train.ts';

/** The distance of one run from the reference. */
export interface Distance {
  /** Largest absolute difference of any weight after each checkpoint, in order. */
  readonly weights: readonly { readonly step: number; readonly difference: number }[];
  /** Largest absolute difference of any logit of the test images, after the last step. */
  readonly logits: number;
}

/** Compares two runs of the same length, checkpoint by checkpoint. */
export function distanceBetween(reference: RunRecord, other: RunRecord): Distance {
  const weights = reference.checkpoints.map(({ step, weights: expected }, i) => {
    const checkpoint = other.checkpoints[i];
    if (checkpoint?.step !== step) {
      throw new RangeError(`expected both runs to have a checkpoint after step ${step}`);
    }
    return { step, difference: largestDifference(expected, checkpoint.weights) };
  });
  return { weights, logits: largestDifference(reference.logits, other.logits) };
}

/** `max |a − b|`; NaN where either has one, for NaN equals nothing. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) {
    throw new RangeError(`expected as many values on either side, got ${a.length} and ${b.length}`);
  }
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] ?? NaN) - (b[i] ?? NaN));
    largest = difference > largest || Number.isNaN(difference) ? difference : largest;
    if (Number.isNaN(largest)) {
      return NaN;
    }
  }
  return largest;
}

/**
 * How far a result may be from what it is compared with. This table is the only one; its twin is
 * `crates/core/tests/golden/tolerances.rs`.
 *
 * The distance allowed at element i is the largest of what the entry grants. An entry that grants nothing means equal
 * bits. A NaN on either side fails, unless the entry is bits or the test says that the case has them.
 */

import { assert } from 'vitest';
import type { DeviceKind } from '../../ts/device/device.ts';
import { expectSameBits, ulp } from './bits.ts';

/** What a comparison grants. Absent means nothing. */
export interface Tolerance {
  /** Times the distance between neighbouring f32 numbers at the expected value. */
  readonly ulps?: number;
  /** Times the distance between neighbouring f32 numbers at the largest expected value. */
  readonly ulpsOfLargest?: number;
  /** Times the expected value. */
  readonly relative?: number;
  /** Times the largest expected value; added to `relative`. */
  readonly ofLargest?: number;
  /** Whatever the values are; added to `relative`. */
  readonly absolute?: number;
  /** Times the largest term of the sum that the expected value is: see {@link Known.terms}. */
  readonly ofLargestTerm?: number;
  /** PyTorch's own largest error in the case: see {@link Known.pytorchError}. */
  readonly asPytorch?: true;
}

/** What a test knows of a case beyond the expected values. */
export interface Known {
  /** Per element the largest term of its sum. */
  readonly terms?: ArrayLike<number>;
  /** PyTorch's largest distance from the f64 reference in this case. */
  readonly pytorchError?: number;
  /**
   * The case has non-finite values. An element that should be one must be one, NaN or infinity: moments in blocks turn
   * infinities into NaN earlier than a sum does. They do not count as the largest value.
   */
  readonly nonFinite?: boolean;
  /** For gradients: the scale of terms that cancel. Counts as the largest expected value where it is larger. */
  readonly scale?: number;
  /** Replaces the entry's grants by smaller ones. */
  readonly tighter?: Tolerance;
}

export const tolerances = {
  'torch numerics against PyTorch': {
    output: {},
    running: {},
    gradient: { relative: 1e-5, ofLargest: 1e-6 },
  },
  'stable numerics against f64': {
    output: { ulpsOfLargest: 2, asPytorch: true },
    running: { ulps: 2, ofLargestTerm: 4e-7 },
    gradient: { ofLargest: 1e-5, asPytorch: true },
  },
  'WebGPU against f64': {
    output: { relative: 1e-5, absolute: 1e-5 },
    // The last is the CPU's own: a mean near 0 is a sum of terms that are not.
    running: { relative: 1e-5, ofLargestTerm: 4e-7 },
    gradient: { relative: 1e-4, absolute: 1e-5 },
  },
  'several devices against one': { output: {}, running: {}, gradient: {} },
  // The statistics are sums in another order, which rounds otherwise in f64, or in pairs of f32.
  'several devices against one, cut along another dimension': {
    output: { ulpsOfLargest: 1 },
    running: { ulps: 1, ofLargestTerm: 4e-7 },
    gradient: { ofLargest: 1e-6 },
  },
} as const satisfies Record<string, Record<'output' | 'running' | 'gradient', Tolerance>>;

export type Comparison = keyof typeof tolerances;
export type Quantity = 'output' | 'running' | 'gradient';

/** The comparison with f64 that `stable` numerics must stand on a kind of device. */
export function againstExact(kind: DeviceKind): Comparison {
  return kind === 'webgpu' ? 'WebGPU against f64' : 'stable numerics against f64';
}

/** Fails unless `actual` is as near to `expected` as the table asks for this comparison of this quantity. */
export function expectWithin(
  comparison: Comparison,
  quantity: Quantity,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  label: string,
  known: Known = {},
): void {
  const entry: Tolerance = tolerances[comparison][quantity];
  const tolerance = known.tighter === undefined ? entry : tightened(entry, known.tighter);
  const what = `${label} (${comparison}, ${quantity})`;
  if (Object.keys(tolerance).length === 0) {
    expectSameBits(actual, expected, what);
    return;
  }
  assert.strictEqual(actual.length, expected.length, `${what}: number of elements`);
  if (known.scale !== undefined && quantity !== 'gradient') {
    throw new RangeError(`${what}: only a gradient has a scale`);
  }
  const mayBeNonFinite = known.nonFinite === true;
  const largest = Math.max(largestOf(expected, mayBeNonFinite), known.scale ?? 0);
  const everywhere = grantedEverywhere(tolerance, largest, known.pytorchError);
  for (let i = 0; i < expected.length; i++) {
    const got = actual[i] ?? Number.NaN;
    const wanted = expected[i] ?? Number.NaN;
    const distance = Math.abs(got - wanted);
    if (distance <= everywhere || (mayBeNonFinite && !Number.isFinite(wanted) && !Number.isFinite(got))) continue;
    const granted = Math.max(everywhere, grantedAt(tolerance, wanted, largest, known.terms?.[i]));
    // Written so that a NaN anywhere, also in what is granted, fails. Equal infinities have the distance NaN.
    if (!(distance <= granted) && !(got === wanted)) {
      assert.fail(`${what}: [${i}] got ${got}, expected ${wanted} ± ${granted}, off by ${distance}`);
    }
  }
}

/** The largest distance between elements; NaN when one of them is. */
export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN)));
  }
  return largest;
}

/** @throws RangeError when `tighter` grants anything that `entry` does not. */
function tightened(entry: Tolerance, tighter: Tolerance): Tolerance {
  for (const [name, granted] of Object.entries(tighter)) {
    const limit = Number(entry[name as keyof Tolerance] ?? 0);
    if (!(Number(granted) <= limit)) {
      throw new RangeError(
        `expected a tolerance no looser than ${name} = ${limit} of the table, got ${String(granted)}`,
      );
    }
  }
  return tighter;
}

/** What does not depend on the element. */
function grantedEverywhere(tolerance: Tolerance, largest: number, pytorchError = 0): number {
  return Math.max(
    (tolerance.ulpsOfLargest ?? 0) * ulp(largest),
    (tolerance.ofLargest ?? 0) * largest,
    tolerance.asPytorch === true ? pytorchError : 0,
  );
}

function grantedAt(tolerance: Tolerance, wanted: number, largest: number, term = 0): number {
  return Math.max(
    (tolerance.ulps ?? 0) * ulp(wanted),
    (tolerance.relative ?? 0) * Math.abs(wanted) + (tolerance.ofLargest ?? 0) * largest + (tolerance.absolute ?? 0),
    (tolerance.ofLargestTerm ?? 0) * Math.abs(term),
  );
}

function largestOf(values: ArrayLike<number>, mayBeNonFinite: boolean): number {
  let largest = 0;
  for (const value of Array.from(values)) {
    const magnitude = Math.abs(value);
    if (!mayBeNonFinite || Number.isFinite(magnitude)) largest = Math.max(largest, magnitude);
  }
  return largest;
}

/** What it means for a step to agree with PyTorch, in either numerics. The Rust twin is `crates/core/tests/golden/main.rs`. */

import type { DeviceKind, Numerics } from 'syncbn';
import { expect } from 'vitest';
import { elementCount } from '../../ts/tensor/shape.ts';
import { againstExact, type Comparison, largestDifference, expectWithin, type Known } from '../support/tolerances.ts';
import { referenceBackward, referenceForward } from '../support/reference.ts';
import type { ExpectedStep, GoldenCase, GoldenValues, GradientName, StoredArray } from './golden_data.ts';
import type { StepRecord } from './golden_layer.ts';

const GRADIENTS: readonly GradientName[] = ['dx', 'dweight', 'dbias'];

/** A step of a case, with what was expected of it. */
export interface CheckedStep {
  readonly given: GoldenCase;
  readonly shape: readonly number[];
  readonly expected: ExpectedStep;
  readonly record: StepRecord;
  readonly values: GoldenValues;
}

/** What the promise of the numerics is. */
export function expectAgreement(step: CheckedStep, numerics: Numerics, kind: DeviceKind): void {
  if (numerics === 'torch') expectPytorch(step);
  else expectExact(step, againstExact(kind));
}

/** `numerics: 'torch'`: output, running statistics and counter to the bit, gradients within the table. */
function expectPytorch(step: CheckedStep): void {
  const { expected, record, values, given } = step;
  values.expectBits(record.y, expected.y, 'y');
  const expectBits = (actual: Float32Array | null, stored: StoredArray | null, label: string): void => {
    expect(actual === null, `${label} is absent`).toBe(stored === null);
    if (actual !== null && stored !== null) values.expectBits(actual, stored, label);
  };
  expectBits(record.runningMean, expected.running_mean, 'running_mean');
  expectBits(record.runningVar, expected.running_var, 'running_var');
  expect(record.numBatchesTracked).toBe(expected.num_batches_tracked);
  for (const name of GRADIENTS) {
    const [actual, stored] = [record[name], expected[name]];
    expect(actual === null, `${name} is absent`).toBe(stored === null);
    if (actual === null || stored === null) continue;
    const [ofStored, wanted] = values.storedElements(actual, stored, name);
    expectWithin('torch numerics against PyTorch', 'gradient', ofStored, wanted, name, {
      nonFinite: given.non_finite,
      scale: name === 'dx' ? scaleOfDx(step) : meanTerm(step, name),
    });
  }
}

/** `numerics: 'stable'`: within the table of an f64 run from the layer's state before the step. */
function expectExact(step: CheckedStep, comparison: Comparison): void {
  const { expected, record, given, shape } = step;
  const exact = referenceForward(record.x, shape, record.before);
  const gradients = referenceBackward(record.x, record.dy, shape, record.before, exact);
  const known = (name: 'y' | GradientName): Known => {
    return { pytorchError: expected.error[name] ?? 0, nonFinite: given.non_finite };
  };
  expectWithin(comparison, 'output', record.y, exact.y, 'y', known('y'));
  for (const [label, actual, wanted, terms] of [
    ['running_mean', record.runningMean, exact.runningMean, exact.runningMeanTerm],
    ['running_var', record.runningVar, exact.runningVar, exact.runningVarTerm],
  ] as const) {
    expect(actual === null, `${label} is absent`).toBe(wanted === null);
    if (actual === null || wanted === null) continue;
    expectWithin(comparison, 'running', actual, wanted, label, {
      terms,
      nonFinite: given.non_finite,
    });
  }
  expect(record.numBatchesTracked).toBe(expected.num_batches_tracked);
  for (const name of GRADIENTS) {
    const actual = record[name];
    expect(actual === null, `${name} is absent`).toBe(expected[name] === null);
    if (actual === null) continue;
    const scale = name === 'dx' ? scaleOfDx(step) : 0;
    expectWithin(comparison, 'gradient', actual, gradients[name], name, { ...known(name), scale });
  }
}

/**
 * The mean magnitude of the finite terms of dweight or dbias. A sum whose terms cancel to almost nothing is as uncertain as
 * they are: of the 7.5e-7 that the sum's own size would grant in `lengths`, N 2, C 1, L 31, PyTorch's error takes 5.6e-7.
 * Every other case agrees with the largest gradient for a scale, too.
 */
function meanTerm({ shape, record }: CheckedStep, name: 'dweight' | 'dbias'): number {
  const [, channels = 0, ...rest] = shape;
  const length = elementCount(rest);
  const { mean, invstd } = referenceForward(record.x, shape, record.before);
  const magnitudes = Array.from(record.dy, (dy, i) => {
    const channel = Math.floor(i / length) % channels;
    const normalized = ((record.x[i] ?? 0) - (mean[channel] ?? 0)) * (invstd[channel] ?? 0);
    return Math.abs(name === 'dbias' ? dy : dy * normalized);
  });
  const finite = magnitudes.filter(Number.isFinite);
  return finite.reduce((sum, magnitude) => sum + magnitude, 0) / Math.max(finite.length, 1);
}

/** With two values per channel dx is what eps leaves of terms that cancel: its scale is that of the terms, dy·invstd·w. */
function scaleOfDx({ shape, record }: CheckedStep): number {
  const [samples = 0, channels = 0, ...rest] = shape;
  const length = elementCount(rest);
  if (samples * length !== 2) return 0;
  const { invstd } = referenceForward(record.x, shape, record.before);
  const terms = record.dy.map((dy, i) => {
    const channel = Math.floor(i / length) % channels;
    return dy * (invstd[channel] ?? Number.NaN) * (record.before.weight?.[channel] ?? 1);
  });
  return largestDifference(terms, new Float32Array(terms.length));
}

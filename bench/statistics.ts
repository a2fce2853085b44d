/** What is told of repeated measurements. */

export interface Summary {
  /** The time the work takes when nothing disturbs it: noise only ever adds. */
  readonly minimum: number;
  readonly median: number;
  /** How far the median lies above the minimum, as a part of it: what the machine's noise made of a typical run. */
  readonly spread: number;
  readonly count: number;
}

/**
 * The least sample that so large a part of all does not exceed.
 * @param part - from 0 to 1: 0.5 for the median, 0.95 for p95.
 */
export function percentile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

/** @throws RangeError without a sample, or with one that is no positive number. */
export function summarize(samples: readonly number[]): Summary {
  if (samples.length === 0 || !samples.every((sample) => Number.isFinite(sample) && sample > 0)) {
    throw new RangeError(`expected positive times, got [${samples.join(', ')}]`);
  }
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (i: number) => sorted[i] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  const minimum = at(0);
  const median = (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
  return { minimum, median, spread: median / minimum - 1, count: sorted.length };
}

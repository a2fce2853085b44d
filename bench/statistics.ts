/** What is told of repeated measurements. */

export interface Summary {
  /** The time the work takes when nothing disturbs it: noise only ever adds. */
  readonly minimum: number;
  readonly median: number;
  /** How far the median lies above the minimum, as a part of it: what the machine's noise made of a typical run. */
  readonly spread: number;
  readonly count: number;
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

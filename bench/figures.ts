/** Figures to reach, and how far a run got. Times are minima, ratios are of one run. */

import type { Pass } from './engine.ts';
import type { Measurement } from './measure.ts';

/** What a run is expected to reach on each of its cases. */
export interface Figure {
  readonly text: string;
  /** Whether the limit is the least that will do, or the most. */
  readonly isLeast: boolean;
  readonly limit: number;
  /** What would be better still. */
  readonly aim?: number;
  /** `×`, or a word. */
  readonly unit: string;
  readonly cases: readonly Case[];
}

export interface Case {
  /** Empty where a figure has one case. */
  readonly label: string;
  /** `null`: not measured. */
  readonly value: number | null;
}

/** A figure as this run reached it, or missed it. */
export interface Verdict {
  readonly figure: string;
  readonly wanted: string;
  /** The worst case's value. */
  readonly got: string;
  /** How far beyond the limit: 1.25 is 25 % better than needed, 0.8 is 20 % short; `null`: not measured. */
  readonly margin: number | null;
  /** Cases that missed it, and by how much. */
  readonly missed: readonly string[];
  /** Cases that belong to it and were not measured. */
  readonly unmeasured: readonly string[];
}

/** At least so much, in every case. */
export function atLeast(text: string, limit: number, cases: readonly Case[], aim?: number): Figure {
  return { text, isLeast: true, limit, unit: '×', cases, ...(aim !== undefined && { aim }) };
}

/** At most so much, in every case. */
export function atMost(text: string, limit: number, unit: string, cases: readonly Case[] | number | null): Figure {
  const list = typeof cases === 'object' && cases !== null ? cases : [{ label: '', value: cases }];
  return { text, isLeast: false, limit, unit, cases: list };
}

export function judge({ text, isLeast, limit, aim, unit, cases }: Figure): Verdict {
  const tell = (value: number) =>
    unit === '×' ? `${value.toPrecision(3)}×` : `${Number(value.toPrecision(4))} ${unit}`;
  const named = ({ label }: Case, value: string) => (label === '' ? value : `${label} ${value}`);
  const marginOf = (value: number) => (value === limit ? 1 : isLeast ? value / limit : limit / value);
  const known = cases.flatMap((one) =>
    one.value === null ? [] : [{ ...one, margin: marginOf(one.value), value: one.value }],
  );
  // NaN is worse than anything.
  const [worst] = [...known].sort((a, b) => (a.margin || 0) - (b.margin || 0));
  return {
    figure: text,
    wanted: `${isLeast ? '≥' : '≤'} ${tell(limit)}${aim === undefined ? '' : `, aim ${tell(aim)}`}`,
    got: worst === undefined ? '' : `${tell(worst.value)}${worst.label === '' ? '' : ` (${worst.label})`}`,
    margin: worst?.margin ?? null,
    missed: known.filter(({ margin }) => !(margin >= 1)).map((one) => named(one, tell(one.value))),
    unmeasured: cases.filter(({ value }) => value === null).map(({ label }) => label || text),
  };
}

/**
 * Time of one contender over that of another; `null` unless both were measured.
 * @param above - a contender, or the strongest of those whose names begin with a text: `pytorch-*`.
 */
export function ratio(
  measurements: readonly Measurement[],
  workload: string,
  pass: Pass,
  above: string,
  below: string,
): number | null {
  const numerator = secondsOf(measurements, workload, pass, above);
  const denominator = secondsOf(measurements, workload, pass, below);
  return numerator === null || denominator === null ? null : numerator / denominator;
}

/** Seconds of a pass; `null` where it was not measured. */
export function secondsOf(
  measurements: readonly Measurement[],
  workload: string,
  pass: Pass,
  contender: string,
): number | null {
  return strongestOf(measurements, workload, pass, contender)?.minimum ?? null;
}

/** The fastest of the contenders that a name, or a beginning of names with `*` at its end, stands for. */
export function strongestOf(
  measurements: readonly Measurement[],
  workload: string,
  pass: Pass,
  contender: string,
): Measurement | undefined {
  const isMeant = (name: string) =>
    contender.endsWith('*') ? name.startsWith(contender.slice(0, -1)) : name === contender;
  return measurements
    .filter((one) => one.workload === workload && one.pass === pass && isMeant(one.contender))
    .sort((a, b) => a.minimum - b.minimum)[0];
}

/** Axes: where a value lies between the ends, and which values get a label. */

/** One axis of a chart. */
export interface Scale {
  /** The place of a value, from 0 at the lower end to 1 at the upper. */
  readonly place: (value: number) => number;
  /** Values to label, ascending, all between the ends. */
  readonly ticks: readonly number[];
  readonly format: (tick: number) => string;
}

/** An even axis whose labels are multiples of 1, 2 or 5 times a power of ten. */
export function linearScale(low: number, high: number, format: (tick: number) => string = String): Scale {
  const span = high > low ? high - low : 1;
  const power = 10 ** Math.floor(Math.log10(span / 5));
  const step = ([1, 2, 5, 10].find((factor) => span / (factor * power) <= 6) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor((low + span) / step + 1e-9) - first + 1;
  return {
    place: (value) => (value - low) / span,
    // Rounded to the step's own digits, or 3 · 0.1 would be labelled 0.30000000000000004.
    ticks: Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12))),
    format,
  };
}

/** A logarithmic axis over whole decades, about five of them labelled. */
export function logScale(low: number, high: number): Scale {
  const first = Math.floor(Math.log10(low));
  const last = Math.max(first + 1, Math.ceil(Math.log10(high)));
  const stride = Math.ceil((last - first) / 6);
  const count = Math.floor((last - first) / stride) + 1;
  return {
    place: (value) => (Math.log10(value) - first) / (last - first),
    ticks: Array.from({ length: count }, (_, i) => 10 ** (first + i * stride)),
    format: (tick) => `10${superscript(Math.round(Math.log10(tick)))}`,
  };
}

function superscript(exponent: number): string {
  return String(exponent).replace(/./g, (digit) => (digit === '-' ? '⁻' : ('⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)] ?? digit)));
}

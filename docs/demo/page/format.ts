/** Numbers as people read them. */

import { WAYS, type Way } from '../protocol.ts';

/** What the networks are called in the page. */
export const WAY_NAMES: Readonly<Record<Way, string>> = {
  one: 'one device',
  plain: 'plain',
  synchronized: 'synchronized',
};

/** `94 %` */
export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** Three digits: `0.123`, `12.3`, `1.2e-7`. */
export function number(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : value.toPrecision(3);
}

/** `47 ms` */
export function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

/** `plain 42 %, synchronized 95 %`: what each network has. */
export function listOf(values: Readonly<Record<Way, number | null>>, format: (value: number) => string): string {
  return WAYS.flatMap((way) => {
    const value = values[way];
    return value === null ? [] : [`${WAY_NAMES[way]} ${format(value)}`];
  }).join(', ');
}

/** The middle one of some values; NaN of none. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

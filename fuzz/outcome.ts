/** What a fault is, and how a step may end. */

import { expectSameBits } from '../tests/support/bits.ts';

export type FaultKind = 'bits' | 'value' | 'state' | 'memory' | 'error' | 'unhandled' | 'hang' | 'death';

/** Something the library did wrong. */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly kind: FaultKind;
  /** What was wrong, in words that stay the same while a program is shortened. */
  readonly what: string;

  constructor(kind: FaultKind, what: string, message: string, options?: ErrorOptions) {
    super(`${kind}: ${what}: ${message}`, options);
    this.kind = kind;
    this.what = what;
  }
}

export type ErrorClass = abstract new (...args: never[]) => Error;

/** A hundred times what a step takes: what has not ended by then never will. */
export const HANG_SECONDS = 30;

/** What an attempt throws; `null` when it succeeds. Faults pass. */
export async function errorOf(attempt: () => unknown): Promise<unknown> {
  try {
    await attempt();
    return null;
  } catch (error) {
    if (error instanceof Fault) throw error;
    return error ?? new Error('nothing was thrown');
  }
}

/** Which outcomes are right: an error of one of the classes, success where there are none or where it may also succeed. */
export interface Expected {
  readonly classes: readonly ErrorClass[];
  readonly mayPass: boolean;
}

export const success: Expected = { classes: [], mayPass: true };

/** Failure with one of the classes. */
export function failure(...classes: readonly ErrorClass[]): Expected {
  return { classes, mayPass: false };
}

/** Failure with one of the classes, or success. */
export function perhaps(...classes: readonly ErrorClass[]): Expected {
  return { classes, mayPass: true };
}

/** @throws Fault unless the error, or what caused it, is of a class that is right here. */
export function checkOutcome(what: string, error: unknown, { classes, mayPass }: Expected): void {
  if (error === null && mayPass) return;
  for (let cause = error; cause instanceof Error; { cause } = cause) {
    if (classes.some((one) => cause instanceof one)) return;
  }
  const names = [...classes.map(({ name }) => name), ...(mayPass ? ['no error'] : [])];
  const got = error === null ? 'success' : describeError(error);
  throw new Fault('error', `${what}: ${withoutNumbers(got)}`, `expected ${names.join(' or ')}, got ${got}`, {
    cause: error,
  });
}

/** The error and what caused it, on one line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : ` ← ${describeError(error.cause)}`;
  return `${error.name}: ${error.message.split('\n', 1)[0] ?? ''}${cause}`;
}

/** @throws Fault when the arrays are not equal bit for bit. */
export function checkBits(
  kind: FaultKind,
  what: string,
  actual: ArrayLike<number> | null | undefined,
  expected: ArrayLike<number> | null | undefined,
): void {
  checkComparison(kind, what, () => expectSameBits(actual ?? [], expected ?? [], what));
}

/** @throws Fault when the comparison throws. */
export function checkComparison(kind: FaultKind, what: string, compare: () => void): void {
  try {
    compare();
  } catch (error) {
    throw new Fault(kind, what, error instanceof Error ? error.message : String(error));
  }
}

/** How often {@link inTime} looks at the time. */
const TICK_MS = 100;

/**
 * Waits for work. The time is counted in ticks of a timer: on a machine that has no time for this process, the timer is late too, and
 * nothing hangs that has merely had no time.
 * @throws Fault when the work hangs.
 */
export async function inTime<T>(work: Promise<T>, what: string, seconds: number): Promise<T> {
  let timer: ReturnType<typeof setInterval> | undefined;
  const hang = new Promise<never>((_, reject) => {
    let left = (1000 * seconds) / TICK_MS;
    timer = setInterval(() => {
      left -= 1;
      if (left <= 0) reject(new Fault('hang', what, `no answer after ${seconds} s`));
    }, TICK_MS);
  });
  return Promise.race([work, hang]).finally(() => clearInterval(timer));
}

/** A text in which what changes with sizes is left out. */
export function withoutNumbers(text: string): string {
  const numbers = text.replace(/\d[\d.e+-]*/g, '#');
  return numbers.replace(/\[#(, #)*\]/g, '[#]').slice(0, 160);
}

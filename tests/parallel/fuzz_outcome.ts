/** How a step of the fuzz tests may end. */

import { DeviceLostError } from 'syncbn';

export type ErrorClass = abstract new (...args: never[]) => Error;

/** A thousand times what a step takes: what has not ended by then never will. */
const HANG_SECONDS = 20;

/** What an attempt throws; `null` when it succeeds. */
export async function errorOf(attempt: () => Promise<unknown>): Promise<unknown> {
  try {
    await attempt();
    return null;
  } catch (error) {
    return error;
  }
}

/** @param expected - classes of which one must be that of the error or of what caused it. */
export function expectCause(error: unknown, expected: readonly ErrorClass[] | 'perhaps'): void {
  const classes = expected === 'perhaps' ? [DeviceLostError] : expected;
  if (error === null && (expected === 'perhaps' || classes.length === 0)) return;
  for (let cause = error; cause instanceof Error; { cause } = cause) {
    if (classes.some((one) => cause instanceof one)) return;
  }
  const names = classes.map(({ name }) => name).join(' or ');
  throw new Error(`expected ${names || 'no error'}, got ${String(error)}`, { cause: error });
}

/** @throws when the work hangs. */
export async function inTime<T>(work: Promise<T>, label: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${label}: hangs`)), 1000 * HANG_SECONDS);
  });
  return Promise.race([work, hang]).finally(() => clearTimeout(timer));
}

/**
 * What all operations that a program awaits have in common: they wait for their devices, look twice for memory, and let others run.
 *
 * A promise that need not wait is awaited within the tick, so that a program which only awaits such promises keeps timers, input and
 * finalizers from running. Two rules against that:
 *
 * - An operation that has worked answers in a later turn of the event loop when there has been none for {@link MOST_MILLISECONDS}. It
 *   works at once in any case, so that what is done in which order does not depend on the time.
 * - An operation for which there is no memory waits for finalizers, which give back what the garbage collector has found, and tries
 *   once more.
 */

import { OutOfMemoryError } from '../errors.ts';
import type { Device } from './device.ts';
import { atEndOfTick } from './end_of_tick.ts';

/** Between two turns, but for the work of one operation: 50 are the most that a page may take before a person notices. */
const MOST_MILLISECONDS = 40;

/** When the event loop last had a turn, as far as is known. */
let latestTurn = 0;
/** The turn that operations wait for now. */
let upcoming: Promise<void> | null = null;

/**
 * Runs the work of an operation, at once where the devices are ready.
 *
 * @param work - changes nothing when it throws an `OutOfMemoryError`, for it is run again then.
 * @throws what `work` throws.
 */
export async function awaited<T>(devices: readonly Device[], work: () => T | Promise<T>): Promise<T> {
  for (const device of devices) {
    if (!device.isReady) {
      await device.ready();
    }
  }
  try {
    return await withRoom(work);
  } finally {
    if (isTurnDue()) {
      await turn();
    }
  }
}

/** Runs work that may lack memory: once more, after finalizers have had their chance, where it does. */
export function withRoom<T>(work: () => T | Promise<T>): T | Promise<T> {
  const onFailure = async (error: unknown): Promise<T> => {
    if (!(error instanceof OutOfMemoryError)) {
      throw error;
    }
    // Node runs finalizers in the turn after the one that comes next.
    await turn();
    await turn();
    return work();
  };
  try {
    const result = work();
    return result instanceof Promise ? result.catch(onFailure) : result;
  } catch (error) {
    return onFailure(error);
  }
}

/** Whether the event loop should have a turn before the next operation. Also when a test has set the clock back. */
export function isTurnDue(): boolean {
  return Math.abs(performance.now() - latestTurn) > MOST_MILLISECONDS;
}

/** Resolves in a later turn of the event loop, one for all who wait. */
export function turn(): Promise<void> {
  upcoming ??= new Promise((resolve) => {
    atEndOfTick(() => {
      latestTurn = performance.now();
      upcoming = null;
      resolve();
    });
  });
  return upcoming;
}

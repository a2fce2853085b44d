/**
 * What all operations that a program awaits have in common: they wait for their devices, look twice for memory, and let others run.
 *
 * A promise that need not wait is awaited within the tick, so that a program which only awaits such promises keeps timers, input and
 * finalizers from running. Two rules against that:
 *
 * - An operation that has worked in the calling thread answers in a later turn of the event loop when there has been none for
 *   {@link MOST_MILLISECONDS}. It works at once in any case, so that what is done in which order does not depend on the time.
 * - An operation for which there is no memory waits for finalizers, which give back what the garbage collector has found, and tries
 *   once more.
 */

import { OutOfMemoryError } from '../errors.ts';
import type { Device } from './device.ts';
import { atEndOfTick } from '../end_of_tick.ts';

/** Between two turns, but for the work of one operation: 50 are the most that a page may take before a person notices. */
const MOST_MILLISECONDS = 40;

/** When the event loop last had a turn, as far as is known. */
let latestTurn = 0;
/** How many synchronous calls are under way, one inside the other. */
let synchronousCalls = 0;
/** The turn that operations wait for now. */
let upcoming: Promise<void> | null = null;

/**
 * Runs the work of an operation, at once where the devices are ready.
 *
 * @param work - changes nothing when it throws an `OutOfMemoryError`, for it is run again then.
 * @returns the result itself where there is nothing to wait for: an `async` function that returns a promise answers three
 * microtasks later, which is a tenth of the time of a small layer. What `work` throws always rejects a promise.
 */
export function awaited<T>(devices: readonly Device[], work: () => T | Promise<T>): T | Promise<T> {
  if (!devices.every(isReady)) {
    return whenReady(devices, work);
  }
  const result = withRoom(work);
  return result instanceof Promise || isTurnDue(devices) ? thenTurn(devices, result) : result;
}

async function whenReady<T>(devices: readonly Device[], work: () => T | Promise<T>): Promise<T> {
  for (const device of devices) {
    if (!device.isReady) {
      await device.ready();
    }
  }
  return thenTurn(devices, withRoom(work));
}

async function thenTurn<T>(devices: readonly Device[], result: T | Promise<T>): Promise<T> {
  try {
    return await result;
  } finally {
    if (isTurnDue(devices)) {
      await turn();
    }
  }
}

/**
 * Runs the work of a synchronous call, which cannot wait: inside, what lacks memory fails at once, and what a GPU may yet refuse is
 * taken for done until it says so.
 */
export function synchronously<T>(work: () => T): T {
  synchronousCalls += 1;
  try {
    return work();
  } finally {
    synchronousCalls -= 1;
  }
}

/** Whether a synchronous call is under way, so that nothing can be awaited. */
export function isSynchronous(): boolean {
  return synchronousCalls > 0;
}

/** Runs work that may lack memory: once more, after finalizers have had their chance, where it does. */
export function withRoom<T>(work: () => T | Promise<T>): T | Promise<T> {
  try {
    const result = work();
    return result instanceof Promise ? result.catch((error: unknown) => onceMore(work, error)) : result;
  } catch (error) {
    if (isSynchronous()) {
      throw error;
    }
    return onceMore(work, error);
  }
}

async function onceMore<T>(work: () => T | Promise<T>, error: unknown): Promise<T> {
  if (!(error instanceof OutOfMemoryError)) {
    throw error;
  }
  // Node runs finalizers in the turn after the one that comes next.
  await turn();
  await turn();
  try {
    return await work();
  } catch {
    // What failed first is told: the second attempt may lack what the first has taken.
    throw error;
  }
}

/**
 * Whether the event loop should have a turn after an operation on these devices: only those of the calling thread keep it from one.
 * A clock that was set back, as tests do, makes one due.
 */
export function isTurnDue(devices: readonly Device[]): boolean {
  return devices.some(isInCallingThread) && Math.abs(performance.now() - latestTurn) > MOST_MILLISECONDS;
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

function isReady(device: Device): boolean {
  return device.isReady;
}

function isInCallingThread(device: Device): boolean {
  return device.kind === 'cpu';
}

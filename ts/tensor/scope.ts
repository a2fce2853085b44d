/** Scopes: tensors made inside one are disposed at its end. */

import { checkFunction } from './check_function.ts';
import { doReplicasRun } from './concurrent_replicas.ts';
import { isThenable } from './thenable.ts';

/** What a scope looks after. */
export interface Scoped {
  /** Belongs to its tensor and is disposed with it. */
  grad: Scoped | null;
  dispose(): void;
}

/** What each open scope looks after, innermost last. */
const open: Set<Scoped>[] = [];

/**
 * Asynchronous scopes whose function has just been left for the first time. Until the next microtask only code outside them runs, so a
 * scope that is opened then is beside them.
 */
const justLeft = new Set<Set<Scoped>>();

/** Enters an object into the innermost scope. */
export function track(item: Scoped): void {
  open.at(-1)?.add(item);
}

/** Takes an object out of every scope: it lives until somebody disposes it. */
export function untrack(item: Scoped): void {
  for (const items of open) {
    items.delete(item);
  }
}

/**
 * Runs `fn` and disposes, when it ends (or its promise settles), every tensor made inside that is neither returned nor
 * kept. Kept are parameters, buffers of modules and whatever `keep()` was called on; a gradient lives as long as its
 * tensor. Returned are the tensors found in the result, also inside arrays and plain objects; they pass to the surrounding
 * scope.
 *
 * Scopes nest. Two asynchronous scopes must not run side by side in one thread, for there is no telling whose a tensor is; nest
 * them, or await one before the other. The library refuses what it sees: `Promise.all([scope(f), scope(g)])`, and a scope that
 * ends before one that began later. Code that is not in a scope must not run beside an asynchronous one either: its tensors
 * are taken for the scope's. Replicas of a module run side by side, so inside the forward of one only a synchronous `fn` is
 * taken.
 *
 * @returns what `fn` returns.
 * @throws TypeError for what is no function; Error for an asynchronous `fn` while replicas run concurrently, where `dispose()` helps; and for one that runs beside
 * another asynchronous scope. What it made is disposed then.
 */
export function scope<T>(fn: () => T): T {
  checkFunction('scope()', fn);
  const items = new Set<Scoped>();
  const isBeside = justLeft.size > 0;
  // Queued before `fn` runs, so it runs before anything that `fn` waits for.
  queueMicrotask(() => justLeft.delete(items));
  open.push(items);
  let result: T;
  try {
    result = fn();
  } catch (error) {
    close(items, undefined);
    throw error;
  }
  if (!isThenable(result)) {
    closeInOrder(items, result);
    return result;
  }
  if (isBeside || doReplicasRun()) {
    close(items, undefined);
    // The rejection of the abandoned promise must not become an unhandled one: the error below is what is reported.
    result.then(undefined, () => undefined);
    throw new Error(isBeside ? BESIDE : IN_REPLICA);
  }
  justLeft.add(items);
  return result.then(
    (value: unknown) => {
      closeInOrder(items, value);
      return value;
    },
    (error: unknown) => {
      close(items, undefined);
      throw error;
    },
  ) as T;
}

const BESIDE =
  'scope(): expected one asynchronous scope at a time, or one inside the other, got two side by side, so that nobody can tell whose a ' +
  'tensor is; await the first before the second begins, or put one scope around both';

const IN_REPLICA =
  'scope(): expected a synchronous function inside the forward of a replica, got an asynchronous one, whose end would ' +
  'dispose tensors of the other replicas; dispose() of intermediate results instead, or put the scope around the step';

/** @throws Error when a scope that began later has not ended: it runs beside this one, or nobody has awaited it. */
function closeInOrder(items: Set<Scoped>, result: unknown): void {
  const isInnermost = open.at(-1) === items;
  close(items, isInnermost ? result : undefined);
  if (!isInnermost) {
    throw new Error(BESIDE);
  }
}

function close(items: Set<Scoped>, result: unknown): void {
  open.splice(open.indexOf(items), 1);
  const returned = new Set<unknown>();
  collect(result, returned);
  for (const item of items) {
    if (returned.has(item)) {
      track(item);
      continue;
    }
    if (item.grad !== null && returned.has(item.grad)) {
      track(item.grad);
      item.grad = null;
    }
    item.dispose();
  }
}

/** Finds everything reachable through arrays and plain objects. */
function collect(value: unknown, found: Set<unknown>): void {
  if (typeof value !== 'object' || value === null || found.has(value)) {
    return;
  }
  found.add(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value) || prototype === Object.prototype || prototype === null) {
    Object.values(value).forEach((item) => collect(item, found));
  }
}

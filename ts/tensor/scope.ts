/** Scopes: tensors made inside one are disposed at its end. */

/** What a scope looks after. */
export interface Disposable {
  dispose(): void;
}

/** The scope that new tensors belong to, innermost last. */
const open: Set<Disposable>[] = [];

/** Enters a new object into the innermost scope. */
export function track(item: Disposable): void {
  open.at(-1)?.add(item);
}

/** Takes an object out of every scope: it lives until somebody disposes it. */
export function untrack(item: Disposable): void {
  for (const items of open) {
    items.delete(item);
  }
}

/**
 * Runs `fn` and disposes, when it ends (or its promise settles), every tensor made inside that is neither returned nor
 * kept. Kept are gradients of tensors, parameters, buffers of modules and whatever `keep()` was called on. Returned are the
 * tensors found in the result, also inside arrays and plain objects; they pass to the surrounding scope.
 *
 * Scopes nest. Two asynchronous scopes must not run side by side in one thread, for there is no telling whose a tensor
 * is; nest them, or await one before the other.
 *
 * @returns what `fn` returns.
 */
export function scope<T>(fn: () => T): T {
  const items = new Set<Disposable>();
  open.push(items);
  let result: T;
  try {
    result = fn();
  } catch (error) {
    close(items, undefined);
    throw error;
  }
  if (!(result instanceof Promise)) {
    close(items, result);
    return result;
  }
  return result.then(
    (value: unknown) => {
      close(items, value);
      return value;
    },
    (error: unknown) => {
      close(items, undefined);
      throw error;
    },
  ) as T;
}

function close(items: Set<Disposable>, result: unknown): void {
  open.splice(open.indexOf(items), 1);
  const returned = new Set<unknown>();
  collect(result, returned);
  const outer = open.at(-1);
  for (const item of items) {
    if (!returned.has(item)) {
      item.dispose();
    } else {
      outer?.add(item);
    }
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

/** Whether operations are recorded for the backward pass. */

import { checkFunction } from './check_function.ts';
import { doReplicasRun } from './concurrent_replicas.ts';
import { isThenable } from './thenable.ts';

let disabledDepth = 0;

/** Whether operations are recorded now. */
export function isGradEnabled(): boolean {
  return disabledDepth === 0;
}

/**
 * Runs `fn` without recording operations: nothing computed inside requires a gradient.
 *
 * For an asynchronous `fn` the mode lasts until its promise settles and holds for everything that runs meanwhile, since a thread has
 * one mode. So await it before the next step of training begins; what is computed beside it is not recorded either, and the
 * `backward()` of that fails. Several asynchronous `noGrad()` may run side by side. Inside a replica's forward that would silently cut the gradients of the other replicas, so
 * there only a synchronous `fn` is taken.
 *
 * @throws TypeError for what is no function; Error for an asynchronous `fn` while replicas run concurrently; use `detach()` there.
 */
export function noGrad<T>(fn: () => T): T {
  checkFunction('noGrad()', fn);
  disabledDepth += 1;
  let result: T;
  try {
    result = fn();
  } catch (error) {
    disabledDepth -= 1;
    throw error;
  }
  if (!isThenable(result)) {
    disabledDepth -= 1;
    return result;
  }
  if (doReplicasRun()) {
    disabledDepth -= 1;
    // The rejection of the abandoned promise must not become an unhandled one: the error below is what is reported.
    result.then(undefined, () => undefined);
    throw new Error(
      'noGrad(): expected a synchronous function inside the forward of a replica, got an asynchronous one, which would ' +
        'switch off the gradients of the other replicas; use detach() on its result instead',
    );
  }
  return Promise.resolve(result).finally(() => {
    disabledDepth -= 1;
  }) as T;
}

/** Functions to be called once, when what an operation has saved is freed: {@link FunctionContext.onFree}. */

import { checkFunction } from './check_function.ts';
import { isThenable } from './thenable.ts';

/** When a graph is dropped and never disposed, the garbage collector finds its nodes. */
const finalizer = new FinalizationRegistry<FreeCallbacks>((callbacks) => callbacks.runQuietly());

/** Of one call of an operation. Refers to nothing of the graph, which would else never be garbage. */
export class FreeCallbacks {
  #waiting: (() => unknown)[] = [];
  #isFreed = false;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * Adds a function; calls it at once where all has been freed already.
   * @throws TypeError for what is no function; what the function throws, where it is called at once.
   */
  add(fn: () => void): void {
    checkFunction('onFree()', fn);
    this.#waiting.push(fn);
    if (this.#isFreed) {
      this.run();
    }
  }

  /** Calls the functions when the garbage collector takes `holder`, unless they have been called by then. */
  watch(holder: object): void {
    finalizer.register(holder, this, this);
  }

  /**
   * Calls each function that has not been called, in order, also after one that throws.
   * @throws what the first one that throws has thrown.
   */
  run(): void {
    this.#isFreed = true;
    finalizer.unregister(this);
    const errors: unknown[] = [];
    for (let fn = this.#waiting.shift(); fn !== undefined; fn = this.#waiting.shift()) {
      try {
        const result = fn();
        if (isThenable(result)) {
          // Nobody waits for it, so nobody could handle its rejection.
          result.then(undefined, () => undefined);
        }
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) {
      throw errors[0];
    }
  }

  /** The same where nobody could catch an error, or where it would hide the error that is being thrown. */
  runQuietly(): void {
    try {
      this.run();
    } catch {
      // Told by nobody: see above.
    }
  }
}

/** The moment after everything that runs now, promises' continuations included, and before whatever arrives next. */

/** Browsers have no `setImmediate`. */
interface Platform {
  readonly setImmediate?: (run: () => void) => void;
}

/** The platform's own: a test that replaces timers by fake ones would else stop what waits for the end of a tick. */
const { setImmediate } = globalThis as unknown as Platform;

/**
 * Runs a function at the end of the tick. `queueMicrotask` would be too early: an `await` that need not wait comes after it.
 * A timer would be a millisecond too late.
 */
export function atEndOfTick(run: () => void): void {
  if (setImmediate !== undefined) {
    setImmediate(run);
    return;
  }
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    run();
  };
  port2.postMessage(null);
}

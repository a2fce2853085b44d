/** The moment after everything that runs now, promises' continuations included, and before whatever arrives next. */

import { nodeModule } from './platform_modules.ts';

/** Browsers have no `setImmediate`. */
interface Platform {
  readonly setImmediate?: (run: () => void) => void;
}

/** The platform's own: a test that replaces timers by fake ones would else stop what waits for the end of a tick. */
const { setImmediate } = globalThis as unknown as Platform;

/**
 * Runs a function at the end of the tick. `queueMicrotask` would be too early: an `await` that need not wait comes after it.
 * A timer would be a millisecond too late, and is the last resort.
 */
export function atEndOfTick(run: () => void): void {
  if (setImmediate !== undefined) {
    setImmediate(run);
    return;
  }
  const Channel = channelClass();
  if (Channel === null) {
    setTimeout(run, 0);
    return;
  }
  const { port1, port2 } = new Channel();
  port1.onmessage = () => {
    port1.close();
    run();
  };
  port2.postMessage(null);
}

/** Jest's jsdom has none of its own but that of Node; Cloudflare's platform has one since 2025 only. */
function channelClass(): (new () => MessageChannel) | null {
  const threads = nodeModule('node:worker_threads') as { readonly MessageChannel: new () => MessageChannel } | null;
  return (
    (globalThis as { readonly MessageChannel?: new () => MessageChannel }).MessageChannel ??
    threads?.MessageChannel ??
    null
  );
}

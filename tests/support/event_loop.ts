/** The event loop and the garbage collector, in ways that are the same on every platform. */

import { atEndOfTick } from '../../ts/end_of_tick.ts';

/**
 * Resolves when everything has run that waits for neither time nor the outside: in a later turn of the event loop, for which
 * browsers have no `setImmediate`.
 */
export async function settled(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  await new Promise((resolve) => {
    port1.onmessage = resolve;
    port2.postMessage(null);
  });
  // An open port keeps Node's process alive.
  port1.close();
}

/** Resolves after what was to happen at the end of this tick; a message or a timer may come before it. */
export async function endOfTick(): Promise<void> {
  await new Promise<void>(atEndOfTick);
}

/** Collects garbage until `isDone`; finalizers run in later turns of the event loop. */
export async function collectUntil(isDone: () => boolean): Promise<void> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('there is no gc(): vitest.config.ts starts every platform with --expose-gc');
  for (let turn = 0; turn < 100 && !isDone(); turn++) {
    gc();
    await settled();
  }
}

/**
 * Collects what earlier tests have left, with its finalizers, so that what devices hold changes only by what a test does:
 * `beforeEach(collectGarbage)` where tests share devices and count.
 */
export async function collectGarbage(): Promise<void> {
  // Until then no finalizer watches the memory that was made in this tick.
  await endOfTick();
  let isCollected = false;
  const registry = new FinalizationRegistry(() => (isCollected = true));
  registry.register({}, null);
  await collectUntil(() => isCollected);
  // Finalizers of other registries may come after ours.
  await settled();
}

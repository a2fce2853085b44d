/** The next turn of the event loop, in which timers and messages come. */

const { setImmediate } = globalThis as unknown as { readonly setImmediate?: (run: () => void) => void };

/** Runs a function when everything that runs now has ended, promises' continuations included. A timer would be a millisecond too late. */
export function atNextTurn(run: () => void): void {
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

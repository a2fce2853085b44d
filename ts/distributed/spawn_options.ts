/** What `spawn()` is given. */

/** How many ranks `spawn()` starts, and what it gives them. */
export interface SpawnOptions {
  /** How many ranks; default: as many as there are cores. */
  readonly nprocs?: number;
  /** What each rank is given as `args`; it is copied as `postMessage` copies. */
  readonly args?: unknown;
  /** How long a rank waits for another, in seconds; default 60. */
  readonly timeout?: number;
  /**
   * Whether ranks exchange through shared memory where the platform has it: Node, and pages that are cross-origin isolated. Default `true`; results
   * are the same.
   */
  readonly sharedMemory?: boolean;
  /** Environment variables of the threads in Node, besides `RANK`, `LOCAL_RANK` and `WORLD_SIZE`. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A worker, of a page or of Node. */
export interface SpawnedWorker {
  /** Sends a message; the ports are given away. */
  postMessage(message: unknown, transfer: readonly MessagePort[]): void;
  /** Ends the worker. */
  terminate(): unknown;
}

/** What a thread of `spawn()` and the one that has started it tell each other. */

/** What a thread is told before anything else. */
export interface RankStart {
  readonly syncbnRank: number;
  readonly job: string;
  readonly ports: readonly (MessagePort | null)[];
  readonly memory: SharedArrayBuffer | null;
  readonly timeout: number;
  readonly args: unknown;
  /** The program that has the function as its default export; `null`: it is in this thread already. */
  readonly url: string | null;
  /** Where a program finds this library. */
  readonly library: string;
}

/** What a thread tells: at the start, which lock it holds while it lives, and at the end what has become of it. */
export type RankNews = { readonly lock: string } | RankEnd;

export type RankEnd = { readonly result: unknown } | { readonly failure: Told };

/** An error as it travels between threads. */
export interface Told {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** Of an error that is the consequence of another rank's. */
  readonly isConsequence: boolean;
}

export function toldOf(error: unknown): Told {
  const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  return { name, message, stack, isConsequence: name === 'PeerFailedError' || name === 'PeerLostError' };
}

/** A thread whose program calls {@link startRank} sets this, so that {@link spawnable} does not. */
export const startedKey = 'syncbnRankIsStarted';

/** Where a thread tells what has become of it. */
export interface Parent {
  postMessage(message: unknown): void;
}

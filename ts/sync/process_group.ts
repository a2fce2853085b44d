/** Several processes that train together, as synchronized layers see them. Knows nothing of what is exchanged. */

import { describeValue } from '../describe_value.ts';

/**
 * A process's place among several that share a batch, each with its own part of it. A backend implements it for one way of carrying
 * bytes; `createLocalGroups()` of `syncbn/distributed` is one for several ranks in one program.
 *
 * Waiting is the group's business: `allGather` rejects when a rank is lost, has failed, or does not come in time.
 */
export interface ProcessGroup {
  /** The number of this process, from 0: its samples come after those of lower ranks. */
  readonly rank: number;
  /** How many processes there are. */
  readonly size: number;
  /**
   * Gives everybody's bytes to everybody.
   *
   * @param bytes - of this rank, of any length; they must not be changed before the promise settles.
   * @param tag - names the exchange. Exchanges with different tags may be under way at once, and ranks may begin them in any order;
   * the n-th exchange of a tag on one rank belongs to the n-th on every other.
   * @returns the bytes of all ranks, in order of ranks. They are read, never written to.
   */
  allGather(bytes: Uint8Array, tag: string): Promise<readonly Uint8Array[]>;
  /**
   * Tells the other ranks that this one cannot go on, so that nobody waits for it: their exchanges, and all later ones, reject. Layers
   * call it when they fail; so should a program that fails elsewhere.
   */
  abort?(reason: unknown): void;
}

/** @throws TypeError or RangeError for what is no process group. */
export function checkProcessGroup(given: unknown): ProcessGroup | null {
  if (given === null) {
    return null;
  }
  const group = (typeof given === 'object' ? given : {}) as Partial<ProcessGroup>;
  const { rank, size } = group;
  if (typeof rank !== 'number' || typeof size !== 'number' || typeof group.allGather !== 'function') {
    throw new TypeError(
      `processGroup: expected an object with rank, size and allGather(), got ${describeValue(given)}; ` +
        `createLocalGroups() of syncbn/distributed makes some`,
    );
  }
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(rank) || rank < 0 || rank >= size) {
    throw new RangeError(`processGroup: expected a rank from 0 to size - 1, got rank ${rank} and size ${size}`);
  }
  return group as ProcessGroup;
}

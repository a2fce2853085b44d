/** How the exchanges of a process group fail. Where ranks do different things, they fail with a `CollectiveMismatchError` of the library. */

/** Another rank has failed, so that this one would wait for it in vain. What failed there is the `cause`. */
export class PeerFailedError extends Error {
  override readonly name = 'PeerFailedError';
  readonly rank: number;

  constructor(rank: number, cause: unknown) {
    const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(`rank ${rank} of the process group has failed: ${text}; make new groups when that is mended`, { cause });
    this.rank = rank;
  }
}

/** Some ranks did not come to an exchange in time. */
export class GroupTimeoutError extends Error {
  override readonly name = 'GroupTimeoutError';
  /** Those that did not come. */
  readonly ranks: readonly number[];
  readonly tag: string;
  readonly timeoutSeconds: number;

  constructor(ranks: readonly number[], tag: string, timeoutSeconds: number) {
    super(
      `process group, ${tag}: waited ${timeoutSeconds} s for rank ${ranks.join(', ')}; let every rank call each layer and each ` +
        `backward, or raise timeoutSeconds`,
    );
    this.ranks = ranks;
    this.tag = tag;
    this.timeoutSeconds = timeoutSeconds;
  }
}

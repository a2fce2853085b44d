/** The function that each rank of `spawn()` runs. */

import type { ProcessGroup } from './process_group.ts';

/** What a user's function is given. */
export interface RankContext<Args = unknown> {
  /** The number of this rank, from 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  readonly group: ProcessGroup;
  /** What `spawn()` was given for all ranks. */
  readonly args: Args;
}

/** The function that each rank runs. */
export type RankMain<Args = never, Result = unknown> = (context: RankContext<Args>) => Result | Promise<Result>;

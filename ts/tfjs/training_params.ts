/** What a training says of itself. */

import type { CustomCallbackArgs } from '@tensorflow/tfjs-layers';

/** How much a training shows: 0 nothing; 1 in Node a bar, where the standard error stream is a terminal and the package `cli-progress` is there; 2 a line per epoch. */
export type Verbosity = 0 | 1 | 2;

/** What callbacks are told before training. */
export interface TrainingParams {
  readonly epochs: number;
  readonly initialEpoch: number;
  /** Of an epoch; `null`: not known. */
  readonly samples: number | null;
  readonly steps: number | null;
  readonly batchSize: number | null;
  readonly verbose: Verbosity;
  readonly doValidation: boolean;
  /** Names of the values that logs have. */
  readonly metrics: readonly string[];
}

/** Shows how far a training is. */
export interface Progress {
  readonly callbacks: CustomCallbackArgs;
  /** Leaves the terminal as it was, however the training ends. */
  end(): void;
}

/** @throws RangeError for anything but 0, 1 and 2. */
export function checkVerbosity(where: string, verbose: unknown): void {
  if (verbose !== 0 && verbose !== 1 && verbose !== 2) {
    throw new RangeError(`${where}: expected verbose to be 0, 1 or 2, got ${String(verbose)}`);
  }
}

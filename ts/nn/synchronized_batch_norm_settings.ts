/** How a layer synchronizes. */

import type { KnownOptions } from '../check_options.ts';
import type { EpsMode } from '../device/device.ts';
import { checkProcessGroup, type ProcessGroup } from '../sync/process_group.ts';
import type { BatchNorm } from './batch_norm.ts';
import { checkOneOf } from './batch_norm_checks.ts';

/** What synchronized layers have besides the properties of plain ones. */
export interface Synchronization {
  /** How long the first replica to reach the layer waits for the last, in seconds; `Infinity`: for ever. Default 15. */
  syncTimeout: number;
  /**
   * After that time, either every replica throws (`'error'`, default), or every one uses the statistics of its own share, which
   * is other mathematics, with a warning (`'local'`).
   */
  onTimeout: 'local' | 'error';
  /**
   * `'plus'` (default) is PyTorch's 1/√(var + eps); `'clamp'` is 1/√(max(var, eps)) wherever replicas synchronize, as in
   * the package this one descends from.
   */
  epsMode: EpsMode;
  /**
   * The processes that share the batch, each with its own part, in order of ranks; `null` (default): this process has it all. In training
   * every rank must call the layer, and run backward through it, equally often.
   */
  processGroup: ProcessGroup | null;
}

/** The options that make the settings. */
export const synchronizationOptions: KnownOptions<Synchronization> = {
  syncTimeout: 'number',
  onTimeout: 'string',
  epsMode: 'string',
  processGroup: 'object',
};

/** A layer of any rank that synchronizes. */
export type SynchronizedLayer = BatchNorm & Synchronization;

/**
 * Settings with their defaults, checked.
 * @throws TypeError or RangeError for others.
 */
export function synchronizationOf(options: Readonly<Partial<Synchronization>>): Synchronization {
  const { syncTimeout = 15, onTimeout = 'error', epsMode = 'plus', processGroup = null } = options;
  const settings = { syncTimeout, onTimeout, epsMode, processGroup };
  checkSynchronization(settings);
  return settings;
}

/** @throws TypeError or RangeError unless the settings mean something. */
export function checkSynchronization(settings: Readonly<Synchronization>): void {
  const { syncTimeout, onTimeout, epsMode, processGroup } = settings;
  if (typeof syncTimeout !== 'number') {
    throw new TypeError(`syncTimeout: expected a number of seconds, got ${typeof syncTimeout}`);
  }
  if (!(syncTimeout > 0)) {
    throw new RangeError(`syncTimeout: expected more than 0 seconds, got ${syncTimeout}; Infinity waits for ever`);
  }
  checkOneOf('onTimeout', onTimeout, ['local', 'error']);
  checkEpsMode(epsMode);
  if (checkProcessGroup(processGroup) !== null && onTimeout === 'local') {
    throw new RangeError(
      `onTimeout: expected 'error' with a processGroup, whose other ranks cannot know that this one goes on alone, got 'local'`,
    );
  }
}

/** @throws TypeError for a name that names no mode. */
export function checkEpsMode(epsMode: unknown): void {
  checkOneOf('epsMode', epsMode, ['plus', 'clamp']);
}

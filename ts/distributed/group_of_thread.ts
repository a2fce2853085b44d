/** The group of a thread that `spawn()` has started. */

import type { ProcessGroup } from './process_group.ts';

let spawnedGroup: ProcessGroup | null = null;

/** @returns `null` in a thread that was not started so. */
export function groupOfThread(): ProcessGroup | null {
  return spawnedGroup;
}

export function setGroupOfThread(group: ProcessGroup): void {
  spawnedGroup = group;
}

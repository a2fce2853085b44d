/** Workers run a bundle of the sources: it is made anew before the unit tests, so that it is never older than they are. */

import { buildWorker } from '../../scripts/build_worker.mjs';

/** Vitest calls it before the first test. */
export async function setup(): Promise<void> {
  await buildWorker();
}

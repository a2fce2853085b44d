/** What `syncbn/distributed` adds to a user's bundle, besides the main entry and what that has loaded. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, inject, it } from 'vitest';
import { bundleAsModules } from './browser_bundle.ts';

const training = "export { DistributedDataParallel, initProcessGroup } from 'syncbn/distributed';";
const all = "export * from 'syncbn/distributed';";
const nats = "export * from 'syncbn/distributed/nats';";

/**
 * Kilobytes are thousands here. A page loads `first` before the program calls anything. What carries messages is loaded by `initProcessGroup()` and
 * `spawn()`, as are the threads.
 */
it.each([
  ['what_training_takes', [training], 6, 14],
  ['syncbn/distributed', [all], 8, 19],
  ['syncbn/distributed_with_nats', [all, nats], 11, 22],
])('%s_is_small_in_a_bundle_compressed', async (name, lines, mostFirst, mostInAll) => {
  const file = join(inject('userProject'), 'distributed.mjs');
  writeFileSync(file, lines.join('\n'));
  const { first, later } = await bundleAsModules(file, ['./main.js', './shared.js', '@nats-io/*']);
  const [atFirst, inAll] = [first, [...first, ...later]].map((texts) =>
    texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0),
  ) as [number, number];
  console.log(`${name}: ${atFirst} bytes at first, ${inAll} in all, gzip`);
  expect(atFirst).toBeLessThanOrEqual(1000 * mostFirst);
  expect(inAll).toBeLessThanOrEqual(1000 * mostInAll);
});

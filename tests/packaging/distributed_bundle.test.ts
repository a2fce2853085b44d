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
 * Kilobytes are thousands here. A page loads `first` before the program calls anything; what carries messages is loaded with the first group, and threads with the
 * first `spawn()`.
 */
it.each([
  ['what_training_takes', [training], 6.2],
  ['syncbn/distributed', [all], 8],
  ['syncbn/distributed_with_nats', [all, nats], 11],
])('%s_is_small_in_a_bundle_compressed', async (name, lines, most) => {
  const file = join(inject('userProject'), 'distributed.mjs');
  writeFileSync(file, lines.join('\n'));
  const { first, later } = await bundleAsModules(file, ['./main.js', './shared.js', '@nats-io/*']);
  const compressed = (text: string): number => gzipSync(text, { level: 9 }).length;
  const sum = (texts: readonly string[]): number => texts.reduce((bytes, text) => bytes + compressed(text), 0);
  const withGroup = sum([...first, ...later.filter((text) => text.includes('acknowledged'))]);
  const inAll = sum([...first, ...later]);
  console.log(`${name}: ${sum(first)} bytes at first, ${withGroup} with a group, ${inAll} in all, gzip`);
  expect(sum(first)).toBeLessThanOrEqual(1000 * most);
  expect(withGroup).toBeGreaterThan(sum(first) + 4000);
  expect(withGroup).toBeLessThanOrEqual(1000 * (most + 8.4));
  expect(inAll).toBeLessThanOrEqual(1000 * (most + 12));
});

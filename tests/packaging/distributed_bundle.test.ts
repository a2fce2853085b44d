/** What `syncbn/distributed` adds to a user's bundle, besides the main entry. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, inject, it } from 'vitest';

/**
 * The aim was 10 kB, and 14 kB with NATS. Process groups alone are 10.5 kB: what finds lost frames and ranks that wait in vain, 5 kB, is needed wherever
 * there are ranks. Training adds 2.7 kB, `spawn()` 1.3 kB, shared memory 0.9 kB. It must not grow further.
 */
const training = "export { DistributedDataParallel, initProcessGroup } from 'syncbn/distributed';";
const all = "export * from 'syncbn/distributed';";
const nats = "export * from 'syncbn/distributed/nats';";

it.each([
  ['what training takes', [training], 13_500],
  ['syncbn/distributed', [all], 17_500],
  ['with NATS', [all, nats], 20_000],
])('%s is small in a bundle, compressed', async (name, lines, most) => {
  const file = join(inject('userProject'), 'distributed.mjs');
  writeFileSync(file, lines.join('\n'));
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    external: ['./main.js', '@nats-io/*'],
    tsconfigRaw: {},
    logLevel: 'silent',
  });
  const size = gzipSync(outputFiles[0]?.contents ?? new Uint8Array(), { level: 9 }).length;
  console.log(`${name}: ${size} bytes, gzip`);
  expect(size).toBeLessThanOrEqual(most);
});

/** What `syncbn/distributed` adds to a user's bundle, besides the main entry. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, inject, it } from 'vitest';

/** The aim was 10 and 14 kB. Texts of errors are a third of it; it must not grow further. */
const mostBytes = 15_000;
const mostBytesWithNats = 17_000;

it.each([
  ['syncbn/distributed', ["export * from 'syncbn/distributed';"], mostBytes],
  ['with NATS', ["export * from 'syncbn/distributed';", "export * from 'syncbn/distributed/nats';"], mostBytesWithNats],
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

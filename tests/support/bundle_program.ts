/** Programs that tests start in threads and processes of Node. */

import { resolve } from 'node:path';
import { build } from 'esbuild';

/** Bundles a program of the tests, for threads and processes that know no TypeScript. */
export async function bundleProgram(file: string): Promise<string> {
  const outfile = resolve('build', 'test_workers', file.replace(/\.ts$/, '.mjs'));
  await build({
    entryPoints: [file],
    outfile,
    bundle: true,
    // The annotations of package.json are about what is published, and take `ts/index.ts` for a file that does nothing.
    ignoreAnnotations: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    external: ['@nats-io/*'],
    alias: {
      syncbn: './ts/index.ts',
      'syncbn/distributed': './ts/distributed.ts',
      'syncbn/distributed/nats': './ts/distributed/nats.ts',
    },
    tsconfigRaw: {},
    logLevel: 'warning',
  });
  return outfile;
}

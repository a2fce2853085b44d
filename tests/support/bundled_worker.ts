/** Worker threads of Node that run a file of tests: they know no TypeScript, so the file is bundled with the sources of the library. */

import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import type { SpawnedWorker } from 'syncbn/distributed';

export async function bundledWorkers(file: string): Promise<() => SpawnedWorker> {
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
    alias: { syncbn: './ts/index.ts', 'syncbn/distributed': './ts/distributed.ts' },
    tsconfigRaw: {},
    logLevel: 'warning',
  });
  return () => new Worker(outfile) as unknown as SpawnedWorker;
}

/** How much the library adds to a user's page: everything it exports, minified by esbuild, the wasm module inlined. */

import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { repositoryFile } from './repository.ts';

/** Bytes after gzip of a bundle that uses the whole package. Needs `dist/`. */
export async function packageGzipBytes(): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents: "export * from 'syncbn';", resolveDir: repositoryFile('.') },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    logLevel: 'silent',
    // Else `paths` would put the sources in the place of the package.
    tsconfigRaw: {},
  });
  const [bundle] = outputFiles;
  if (bundle === undefined) throw new Error('esbuild wrote no bundle');
  return gzipSync(bundle.contents, { level: 9 }).length;
}

/** How a user's bundler packs a program for a web page. The benchmark weighs the same bundle as the tests. */

import { relative } from 'node:path';
import { build, type BuildOptions, type BuildResult } from 'esbuild';

/**
 * Bundles a program for a browser, minified, with all that it imports.
 *
 * @param file - path of the program; packages are looked up from there
 * @returns the text of a script that sets the global `app` to the program's exports
 */
export async function bundleForBrowser(file: string): Promise<string> {
  const { outputFiles } = await bundle({ entryPoints: [file], format: 'iife', globalName: 'app' });
  return outputFiles.map(({ text }) => text).join('');
}

/**
 * The same as modules, as bundlers do for pages of today: what is imported later stays apart and is not loaded at first.
 *
 * @returns the files that are loaded at first, and what is loaded later
 */
export async function bundleAsModules(file: string): Promise<{ readonly first: string[]; readonly later: string[] }> {
  const { outputFiles, metafile } = await bundle({
    entryPoints: { app: file },
    format: 'esm',
    splitting: true,
    outdir: 'dist',
  });
  const first = new Set<string>();
  const load = (path: string): void => {
    if (first.has(path)) return;
    first.add(path);
    for (const { path: imported, kind } of metafile.outputs[path]?.imports ?? []) {
      if (kind === 'import-statement') load(imported);
    }
  };
  load('dist/app.js');
  const isFirst = ({ path }: { readonly path: string }): boolean => first.has(relative(process.cwd(), path));
  const textOf = ({ text }: { readonly text: string }): string => text;
  return {
    first: outputFiles.filter(isFirst).map(textOf),
    later: outputFiles.filter((output) => !isFirst(output)).map(textOf),
  };
}

async function bundle(options: BuildOptions): Promise<BuildResult<{ write: false; metafile: true }>> {
  const result = await build({
    ...options,
    bundle: true,
    minify: true,
    platform: 'browser',
    target: 'es2022',
    write: false,
    metafile: true,
    logLevel: 'silent',
    tsconfigRaw: {},
  });
  if (result.warnings.length > 0) {
    throw new Error(`esbuild warns: ${result.warnings.map((warning) => warning.text).join('; ')}`);
  }
  return result;
}

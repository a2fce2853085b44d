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
 * @param external - what stays out of the bundle
 * @returns the files that are loaded at first, and what is loaded later
 */
export async function bundleAsModules(
  file: string,
  external: string[] = [],
): Promise<{ readonly first: string[]; readonly later: string[] }> {
  const { outputFiles, metafile } = await bundle({
    entryPoints: { app: file },
    external,
    format: 'esm',
    splitting: true,
    outdir: 'dist',
  });
  const reachable = (kinds: readonly string[], path: string, found = new Set<string>()): ReadonlySet<string> => {
    found.add(path);
    for (const { path: imported, kind, external: isOutside } of metafile.outputs[path]?.imports ?? []) {
      if (isOutside !== true && kinds.includes(kind) && !found.has(imported)) reachable(kinds, imported, found);
    }
    return found;
  };
  const first = reachable(['import-statement'], 'dist/app.js');
  // The bundler also makes files of what is imported in functions that it has left out.
  const all = reachable(['import-statement', 'dynamic-import'], 'dist/app.js');
  const textsOf = (paths: readonly string[]): string[] =>
    outputFiles.filter(({ path }) => paths.includes(relative(process.cwd(), path))).map(({ text }) => text);
  return { first: textsOf([...first]), later: textsOf([...all].filter((path) => !first.has(path))) };
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

/** How a user's bundler packs a program for a web page. The benchmark weighs the same bundle as the tests. */

import { build, type BuildOptions, type OutputFile } from 'esbuild';

/**
 * Bundles a program for a browser, minified, with all that it imports.
 *
 * @param file - path of the program; packages are looked up from there
 * @returns the text of a script that sets the global `app` to the program's exports
 */
export async function bundleForBrowser(file: string): Promise<string> {
  const [script] = await bundle({ entryPoints: [file], format: 'iife', globalName: 'app' });
  return script.text;
}

/**
 * The same as modules, as bundlers do for pages of today: what is imported later stays apart and is not loaded at first.
 *
 * @returns the entry, then what is loaded later
 */
export async function bundleAsModules(file: string): Promise<readonly [entry: string, ...later: string[]]> {
  const [entry, ...later] = await bundle({
    entryPoints: { app: file },
    format: 'esm',
    splitting: true,
    outdir: 'dist',
  });
  if (/(^|;)import[\s{"*]/.test(entry.text)) throw new Error('the entry is more than one file: weigh them all');
  return [entry.text, ...later.map(({ text }) => text)];
}

async function bundle(options: BuildOptions): Promise<[OutputFile, ...OutputFile[]]> {
  const { outputFiles = [], warnings } = await build({
    bundle: true,
    minify: true,
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
    tsconfigRaw: {},
    ...options,
  });
  const [first, ...others] = outputFiles;
  if (first === undefined || warnings.length > 0) {
    throw new Error(`esbuild warns: ${warnings.map((warning) => warning.text).join('; ')}`);
  }
  return [first, ...others];
}

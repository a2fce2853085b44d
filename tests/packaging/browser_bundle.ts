/** How a user's bundler packs a program for a web page. The benchmark weighs the same bundle as the tests. */

import { build } from 'esbuild';

/**
 * Bundles a program for a browser, minified, with all that it imports.
 *
 * @param file - path of the program; packages are looked up from there
 * @returns the text of a script that sets the global `app` to the program's exports
 */
export async function bundleForBrowser(file: string): Promise<string> {
  const { outputFiles, warnings } = await build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'app',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
    tsconfigRaw: {},
  });
  const [bundle] = outputFiles;
  if (bundle === undefined || warnings.length > 0) {
    throw new Error(`esbuild warns: ${warnings.map((warning) => warning.text).join('; ')}`);
  }
  return bundle.text;
}

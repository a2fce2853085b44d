/** What the packaging tests do with the project of a user: compile its program, bundle it, run it. */

import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { inject } from 'vitest';

const consumer = join(process.cwd(), 'tests', 'packaging', 'consumer.ts');

/** What a program of the user's project prints, parsed as JSON. */
export function runInUserProject(fileName: string, text: string): unknown {
  writeFileSync(join(inject('userProject'), fileName), text);
  const printed = execFileSync(process.execPath, [fileName], { cwd: inject('userProject'), encoding: 'utf8' });
  return JSON.parse(printed);
}

/**
 * Compiles the user's program with the TypeScript compiler, which throws its complaints.
 *
 * @param fileName - `.mts` or `.cts`, which decides what kind of module it is
 * @param options - further options for the compiler
 */
export function compileInUserProject(fileName: string, options: readonly string[]): void {
  copyFileSync(consumer, join(inject('userProject'), fileName));
  const tsc = join(process.cwd(), 'node_modules', 'typescript', 'bin', 'tsc');
  const common = ['--strict', '--skipLibCheck', 'false', '--target', 'ES2022', '--pretty', 'false'];
  try {
    execFileSync(process.execPath, [tsc, ...common, ...options, fileName], {
      cwd: inject('userProject'),
      encoding: 'utf8',
      stdio: 'pipe',
    });
  } catch (error) {
    throw new Error(`the user's program does not compile:\n${(error as { stdout: string }).stdout}`, { cause: error });
  }
}

/**
 * Bundles the user's program for a browser, minified.
 *
 * @returns the text of a script that sets the global `app` to the program's exports
 */
export async function bundleForBrowser(): Promise<string> {
  copyFileSync(consumer, join(inject('userProject'), 'app.ts'));
  const { outputFiles, warnings } = await build({
    absWorkingDir: inject('userProject'),
    entryPoints: ['app.ts'],
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

/** A file of the installed package. */
export function readInstalled(path: string): string {
  return readFileSync(join(inject('userProject'), 'node_modules', 'syncbn', path), 'utf8');
}

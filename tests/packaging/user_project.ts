/** What the packaging tests do with the project of a user: compile its program, bundle it, run it. */

import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { toolEnvironment } from '../../scripts/tools.mjs';
import { bundleAsModules, bundleForBrowser } from './browser_bundle.ts';

const consumer = join(process.cwd(), 'tests', 'packaging', 'consumer.ts');

/** How a program is run, but for its file. */
export type Runtime = readonly [command: string, ...options: string[]];

const node: Runtime = [process.execPath];

/** What a program of the user's project prints, parsed as JSON. It must end by itself. */
export function runInUserProject(fileName: string, text: string, [command, ...options] = node): unknown {
  writeFileSync(join(inject('userProject'), fileName), text);
  const settings = { cwd: inject('userProject'), env: toolEnvironment(), encoding: 'utf8', timeout: 60_000 } as const;
  return JSON.parse(execFileSync(command, [...options, fileName], settings));
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

/** The bundle of the user's program for a browser: a script that sets the global `app` to the program's exports. */
export function bundleUserProgram(): Promise<string> {
  const program = join(inject('userProject'), 'app.ts');
  copyFileSync(consumer, program);
  return bundleForBrowser(program);
}

/** The same as modules. */
export function bundleUserModules(): ReturnType<typeof bundleAsModules> {
  const program = join(inject('userProject'), 'app.ts');
  copyFileSync(consumer, program);
  return bundleAsModules(program);
}

/** A file of the installed package. */
export function readInstalled(path: string): string {
  return readFileSync(join(inject('userProject'), 'node_modules', 'syncbn', path), 'utf8');
}

/**
 * Deno, for the tests of the package: not a dependency like the others, since its parts for other systems are missing from
 * some registries, and a lock file without them is refused.
 */

import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { run, toolsDirectory, versionOf } from '../tools.mjs';
import { say, SetupError } from './step.mjs';

const VERSION = '2.9.6';

export function setUpDeno() {
  const present = versionOf('deno');
  if (present !== null) {
    say('Deno', present);
    return;
  }
  const folder = join(toolsDirectory, 'deno');
  const options = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--prefix', folder];
  mkdirSync(folder, { recursive: true });
  const { ok } = run('npm', ['install', ...options, `deno@${VERSION}`], { quiet: true });
  if (ok) link(join(folder, 'node_modules', '.bin', 'deno'));
  const installed = versionOf('deno');
  if (installed === null) throw new SetupError('Deno could not be installed', `npm install --global deno@${VERSION}`);
  say('Deno', `${installed}, installed by npm`);
}

function link(program) {
  const bin = join(toolsDirectory, 'bin');
  mkdirSync(bin, { recursive: true });
  rmSync(join(bin, 'deno'), { force: true });
  symlinkSync(program, join(bin, 'deno'));
}

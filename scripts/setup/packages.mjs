/** npm packages: what the lock file names, no more and no less. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from '../tools.mjs';
import { firstWay, say, SetupError } from './step.mjs';

export function setUpPackages() {
  if (isInstalled()) {
    say('npm packages', 'installed as in the lock file');
    return;
  }
  const way = firstWay('npm packages', [
    { name: 'npm ci', go: () => npm('ci') },
    // Some registries lack a binary of a foreign platform that the lock file names. Only `npm ci` minds.
    { name: 'npm install', go: () => npm('install', '--no-save') },
  ]);
  if (way === null) throw new SetupError('the npm packages could not be installed', `npm ci ${options.join(' ')}`);
  say('npm packages', `installed by ${way}`);
}

/**
 * Install scripts are left out: npm 11 runs them only where allowed, so nothing may depend on one. Development packages are
 * asked for by name, because NODE_ENV=production would leave them out.
 */
const options = ['--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];

function npm(...words) {
  const { ok, output } = run('npm', [...words, ...options], { quiet: true });
  if (!ok) console.error(output.split('\n').slice(0, 10).join('\n'));
  return ok && isInstalled() ? `npm ${words[0]}` : null;
}

/**
 * Whether `node_modules` holds every package of the lock file in its version. npm keeps a record of what it installed; comparing
 * that with the lock file tells more than times of files, which git sets as it likes.
 */
function isInstalled() {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const have = packagesOf(record);
  const want = packagesOf(join(root, 'package-lock.json'));
  return Object.entries(want).every(
    ([path, { version, optional }]) =>
      path === '' || (have[path] === undefined ? optional === true : have[path].version === version),
  );
}

function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
}

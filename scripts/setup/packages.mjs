/** npm packages: what the lock file names, no more and no less. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from '../tools.mjs';
import { firstWay, say, SetupError } from './step.mjs';

/** @param {string} [folder] - a folder with packages of its own; without it those of the repository's root are meant */
export function setUpPackages(folder = '.') {
  const step = folder === '.' ? 'npm packages' : `npm packages of ${folder}`;
  if (isInstalled(folder)) {
    say(step, 'installed as in the lock file');
    return;
  }
  const way = firstWay(step, [
    { name: 'npm ci', go: () => npm(folder, 'ci') },
    // Some registries lack a binary of a foreign platform that the lock file names. Only `npm ci` minds.
    { name: 'npm install', go: () => npm(folder, 'install', '--no-save') },
  ]);
  const command = `npm ci ${['--prefix', folder, ...options].join(' ')}`;
  if (way === null) throw new SetupError(`the ${step} could not be installed`, command);
  say(step, `installed by ${way}`);
}

/**
 * Install scripts are left out: npm 11 runs them only where allowed, so nothing may depend on one. Development packages are
 * asked for by name, because NODE_ENV=production would leave them out.
 */
const options = ['--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];

function npm(folder, ...words) {
  const { ok, output } = run('npm', [...words, ...options], { quiet: true, cwd: join(root, folder) });
  if (!ok) console.error(output.split('\n').slice(0, 10).join('\n'));
  return ok && isInstalled(folder) ? `npm ${words[0]}` : null;
}

/**
 * Whether `node_modules` holds every package of the lock file in its version. npm keeps a record of what it installed; comparing
 * that with the lock file tells more than times of files, which git sets as it likes.
 */
function isInstalled(folder) {
  const record = join(root, folder, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const have = packagesOf(record);
  const want = packagesOf(join(root, folder, 'package-lock.json'));
  return Object.entries(want).every(
    ([path, { version, optional }]) =>
      path === '' || (have[path] === undefined ? optional === true : have[path].version === version),
  );
}

function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
}

/** Debian's package manager, for machines that have one and a user who may use it. */

import { existsSync } from 'node:fs';
import { run, toolEnvironment } from '../tools.mjs';

const lockOptions = ['-o', 'DPkg::Lock::Timeout=120'];

let listsAreFresh = false;

/**
 * The words that run a command as root.
 * @returns {string[] | null} none for root, `sudo` where it asks for no password, null where there is no way
 */
export function asRoot() {
  if (process.getuid?.() === 0) return [];
  return run('sudo', ['-n', 'true'], { quiet: true }).ok ? ['sudo', '-n'] : null;
}

/**
 * Runs a command as root.
 * @param {string[]} words - the program and its arguments
 * @returns {boolean} whether it was allowed and exited with 0
 */
export function runAsRoot(words) {
  const prefix = asRoot();
  if (prefix === null) return false;
  const [command, ...parameters] = [...prefix, ...words];
  // No package may stop to ask a question.
  const env = { ...toolEnvironment(), DEBIAN_FRONTEND: 'noninteractive' };
  return run(command, parameters, { quiet: true, env }).ok;
}

/**
 * Installs packages, and removes none that are there: what the user installed is not set-up's to take away.
 * @param {string[]} names - the packages
 * @returns {boolean} whether they are installed now; false also where there is no apt-get or it has no such package
 */
export function aptInstall(names) {
  if (!existsSync('/usr/bin/apt-get')) return false;
  // A fresh machine has no lists of packages; another apt-get may be at work, and is waited for.
  if (!listsAreFresh) listsAreFresh = runAsRoot(['apt-get', ...lockOptions, 'update']);
  return runAsRoot(['apt-get', ...lockOptions, 'install', '--yes', '--no-install-recommends', '--no-remove', ...names]);
}

/** The command by which a person installs packages. */
export function aptCommand(names) {
  return `sudo apt-get update && sudo apt-get install --no-install-recommends ${names.join(' ')}`;
}

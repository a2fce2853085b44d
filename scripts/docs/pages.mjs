/** The pages of the site as static files that work in any folder of any server. */

import { rmSync } from 'node:fs';
import { run, toolEnvironment } from '../tools.mjs';
import { relocate } from './relocate.mjs';

/**
 * @param {string} site - the folder that they are written to; what was there is removed
 * @param {string | null} [onlyPage] - name of the one page to build; `null`: all
 */
export function buildPages(site, onlyPage = null) {
  rmSync(site, { recursive: true, force: true });
  // Whoever calls may run under settings for tests.
  const environment = { NODE_ENV: 'production', ...(onlyPage === null ? {} : { SITE_PAGE: onlyPage }) };
  make('vitepress', ['build', 'docs', '--outDir', site], environment);
  relocate(site);
}

/**
 * Runs a program of a package.
 * @returns {string} what it has printed
 * @throws where it fails, with that
 */
export function make(program, parameters, environment = {}) {
  const { ok, output } = run(program, parameters, { quiet: true, env: { ...toolEnvironment(), ...environment } });
  if (!ok) throw new Error(`${program} ${parameters.join(' ')}:\n${output}`);
  return output;
}

/** The steps of `npm test`, in the order in which they run: what is quick and often wrong comes first. */

import { join } from 'node:path';
import { root } from '../tools.mjs';
import { countCargoTest, countCheck, countFuzz, countVitest } from './count.mjs';

/** How the tests of a Vitest project are counted: by the report that its npm script writes. */
const countProject = (name) => (ended) => countVitest(ended, join(root, 'build', 'reports', `${name}.json`));

/**
 * @typedef {object} Step
 * @property {string} name - as `.ci/run` and `npm test --` take it
 * @property {string} script - the npm script that it runs
 * @property {(ended: { ok: boolean, output: string }) => { passed: number, failed: number, names: string[] }} count -
 * how many tests it ran, and the names of those that failed
 * @property {boolean} [needed] - without it no later step can run
 */

/** @type {Step[]} */
export const steps = [
  { name: 'setup', script: 'setup', count: countCheck, needed: true },
  { name: 'build', script: 'build', count: countCheck, needed: true },
  { name: 'format', script: 'format:check', count: countCheck },
  { name: 'format:rust', script: 'format:rust:check', count: countCheck },
  { name: 'types', script: 'types', count: countCheck },
  { name: 'lint', script: 'lint', count: countCheck },
  { name: 'lint:rust', script: 'lint:rust', count: countCheck },
  { name: 'licences', script: 'release:bill', count: countCheck },
  { name: 'unit', script: 'test:unit', count: countProject('unit') },
  { name: 'fuzz', script: 'test:fuzz', count: countFuzz },
  { name: 'rust', script: 'test:rust', count: countCargoTest },
  { name: 'browser', script: 'test:browser', count: countProject('browser') },
  { name: 'packaging', script: 'test:packaging', count: countProject('packaging') },
  { name: 'e2e', script: 'test:e2e', count: countProject('e2e') },
];

/**
 * The rows of the matrix: a platform or tool, what it needs, and how its project gives the sums of the program.
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {Record<string, string>} [tools] - npm packages with their versions; the first is the one whose version is told. None: those of this repository
 * @property {string[]} [kinds] - of devices; default `cpu` and `worker`
 * @property {string[]} [quickKinds] - those that `npm test` runs: nothing has to be installed. Absent: it leaves the row out; some leave out WebGPU, which takes
 * seconds on an emulated GPU
 * @property {string} [remark] - what a reader of the table should know
 * @property {Record<string, string>} files - of the project, by path; the program is there already
 * @property {(project: object, pages: import('../pages.mjs').Pages) => string | null} [version] - of the platform
 * @property {(project: object, pages: import('../pages.mjs').Pages) => Gone | Promise<Gone>} go - gives a text with the sums in it, or says why there are none.
 * It throws NotHere where what it needs cannot be installed
 * @typedef {string | { text: string, version: string }} Gone - the version where only the run tells it
 */

import { bundlers } from './bundlers.mjs';
import { pages } from './pages.mjs';
import { runtimes } from './runtimes.mjs';
import { testRunners } from './test_runners.mjs';
import { typeScript } from './typescript.mjs';

/** @type {Row[]} */
export const rows = [...runtimes, ...pages, ...bundlers, ...testRunners, ...typeScript];

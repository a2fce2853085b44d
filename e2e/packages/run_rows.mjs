/** Runs rows of the matrix, one after another, and compares what they give with what all give. */

import { NotHere } from './not_here.mjs';
import { openPages } from './pages.mjs';
import { Projects } from './project.mjs';
import { rows } from './rows/all.mjs';

/** The sums of the program, the same everywhere. Those of GPUs are their own: their arithmetic is f32 alone. */
export const expected = { cpu: 'aac11641', worker: 'aac11641', webgpu: 'f46e0502' };

/**
 * @typedef {object} Result
 * @property {string} name
 * @property {string | null} version - of the platform or tool
 * @property {string[]} kinds - of devices
 * @property {'passed' | 'failed' | 'not here'} outcome
 * @property {string} reason - why it has not passed; else what a reader of the table should know
 */

/**
 * @param {{ quick: boolean, only?: string }} wanted
 * @returns {string[]} the names of rows
 */
export const rowNames = (wanted) => chosen(wanted).map(({ name }) => name);

/** @returns {import('./rows/all.mjs').Row[]} */
function chosen({ quick, only = '' }) {
  const named = rows.filter(({ name }) => name.includes(only));
  if (!quick) return named;
  return named.flatMap((row) => (row.quickKinds === undefined ? [] : [{ ...row, kinds: row.quickKinds }]));
}

/**
 * @param {{ quick: boolean, only?: string }} wanted - rows
 * @param {(text: string) => void} tell - hears of each row
 * @returns {Promise<Result[]>}
 */
export async function runRows(wanted, tell) {
  const projects = new Projects();
  const pages = await openPages();
  const results = [];
  try {
    for (const row of chosen(wanted)) {
      const begin = performance.now();
      const result = await runRow(row, projects, pages);
      const seconds = ((performance.now() - begin) / 1000).toFixed(1);
      tell(`${result.outcome.padEnd(8)} ${seconds.padStart(6)} s  ${row.name}, ${result.version ?? 'no version'}`);
      if (result.outcome !== 'passed') tell(result.reason);
      results.push(result);
    }
  } finally {
    await pages.close();
    projects.remove();
  }
  return results;
}

/** @returns {Promise<Result>} */
async function runRow(row, projects, pages) {
  const { name, kinds = ['cpu', 'worker'], remark = '', tools = {} } = row;
  const ofTool = ({ versionOf }) => versionOf(Object.keys(tools)[0]);
  let version = null;
  let project = null;
  try {
    project = projects.create(row, kinds);
    version = (row.version ?? ofTool)(project, pages);
    const gone = await row.go(project, pages);
    const text = gone.text ?? gone;
    version = gone.version ?? version;
    const wrong = differences(text, kinds);
    return { name, version, kinds, outcome: wrong === null ? 'passed' : 'failed', reason: wrong ?? remark };
  } catch (error) {
    return { name, version, kinds, outcome: error instanceof NotHere ? 'not here' : 'failed', reason: error.message };
  } finally {
    project?.remove();
  }
}

/** @returns {string | null} what is wrong with the sums in a text */
function differences(text, kinds) {
  const [, found] = /sums: ([\w= ]+)/.exec(text) ?? [];
  const wanted = kinds.map((kind) => `${kind}=${expected[kind]}`).join(' ');
  if (found === undefined) return `expected ${wanted}, got ${text.slice(-2000)}`;
  return found.trim() === wanted ? null : `expected ${wanted}, got ${found}`;
}

/**
 * `node e2e/packages/matrix.mjs [--quick] [--only WORD] [--write]`: the packed package in one small project for each platform and tool. All give the same
 * checksums. `--write` enters the table into `docs/platforms.md`.
 */

import { createReadStream, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright';
import { launchOptions } from '../../scripts/browser.mjs';
import { root } from '../../scripts/tools.mjs';
import { Projects } from './project.mjs';
import { rows } from './rows.mjs';

/** The sums of the program, the same everywhere. */
export const expected = 'aac11641 aac11641';

const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
};

/** @returns {string[]} the names of rows */
export const rowNames = (isWanted) => rows.filter(isWanted).map(({ name }) => name);

/**
 * Runs rows.
 * @param {(row: import('./rows.mjs').Row) => boolean} isWanted
 * @param {(text: string) => void} tell - hears of each row
 * @returns {Promise<{ name: string, sums: string | null, error: string | null }[]>}
 */
export async function runRows(isWanted, tell) {
  const projects = new Projects();
  const pages = await openPages();
  const results = [];
  try {
    for (const row of rows.filter(isWanted)) {
      let result;
      try {
        const project = projects.create(row.name, row.tools ?? {}, row.files);
        result = { name: row.name, sums: await row.go(project, pages.show), error: null };
      } catch (error) {
        result = { name: row.name, sums: null, error: error.message };
      }
      tell(
        `${result.error === null ? result.sums : 'FAILED'}  ${row.name}${result.error === null ? '' : `\n${result.error}`}`,
      );
      results.push(result);
    }
  } finally {
    await pages.close();
    projects.remove();
  }
  return results;
}

/** A browser, and a server of whichever folder is to be shown. */
async function openPages() {
  let folder = '';
  const server = createServer(({ url }, answer) => {
    const file = join(folder, decodeURIComponent(new URL(url, 'http://page').pathname));
    if (!existsSync(file) || !statSync(file).isFile()) {
      answer.writeHead(404).end();
      return;
    }
    answer.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(answer);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch(launchOptions());
  const show = async (served, path) => {
    folder = served;
    const page = await browser.newPage();
    const errors = [];
    page.on('pageerror', ({ message }) => errors.push(message));
    await page.goto(`http://127.0.0.1:${server.address().port}/${path}`);
    await page
      .waitForFunction('document.title !== ""', null, { timeout: 30_000 })
      .catch((error) => errors.push(error.message));
    const title = await page.title();
    await page.close();
    if (title === '') throw new Error(errors.join('; '));
    return title;
  };
  return { show, close: async () => (await browser.close(), server.close()) };
}

/** Enters the results into the page. */
function write(results) {
  const file = join(root, 'docs', 'platforms.md');
  const [before] = readFileSync(file, 'utf8').split('\n## What was run\n');
  const lines = results.map(
    ({ name, sums, error }) => `| ${name} | ${error === null ? `\`${sums}\`` : error.split('\n')[0].slice(0, 160)} |`,
  );
  const table = `| platform or tool | sums of a step on two \`cpu\` devices and on two workers, or why not |\n| --- | --- |\n${lines.join('\n')}\n`;
  const intro = `\`node e2e/packages/matrix.mjs --write\` packs the package, installs it in a small project for each row, trains a step and adds up all its bits.`;
  writeFileSync(file, `${before.trimEnd()}\n\n## What was run\n\n${intro}\n\n${table}`);
}

if (process.argv[1]?.endsWith('matrix.mjs')) {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean' }, only: { type: 'string' }, write: { type: 'boolean' } },
  });
  const isWanted = ({ name, quick }) => (!values.quick || quick) && name.includes(values.only ?? '');
  const results = await runRows(isWanted, console.log);
  const failed = results.filter(({ error, sums }) => error !== null || sums !== expected);
  console.log(`matrix: ${results.length - failed.length} of ${results.length} rows passed`);
  if (values.write) write(results);
  process.exitCode = failed.length > 0 || results.length === 0 ? 1 : 0;
}

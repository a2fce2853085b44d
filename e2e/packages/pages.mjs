/** A browser, and a server of whichever folder is to be shown. */

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { chromium } from 'playwright';
import { launchOptions } from '../../scripts/browser.mjs';

/** What a page may take. */
const SECONDS = 60;

const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
};

/**
 * @typedef {object} Pages
 * @property {(folder: string, headers?: Record<string, string>) => string} serve - the address of the folder, until another one is served
 * @property {(address: string) => Promise<string>} show - what the page says in its title, in Chromium
 * @property {() => string} version - of Chromium
 * @property {() => Promise<void>} close
 */

/** @returns {Promise<Pages>} */
export async function openPages() {
  let folder = '';
  let headers = {};
  const server = createServer(({ url }, answer) => {
    const file = join(folder, decodeURIComponent(new URL(url, 'http://page').pathname));
    if (!existsSync(file) || !statSync(file).isFile()) {
      answer.writeHead(404).end();
      return;
    }
    answer.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream', ...headers });
    createReadStream(file).pipe(answer);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch(launchOptions());
  return {
    serve(served, given = {}) {
      [folder, headers] = [served, given];
      return `http://127.0.0.1:${server.address().port}`;
    },
    async show(address) {
      const page = await browser.newPage();
      const errors = [];
      page.on('pageerror', ({ message }) => errors.push(message));
      page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
      await page.goto(address);
      // A dev server may load the page again, once it knows what the page imports.
      const title = await waitForTitle(() => page.title().catch(() => ''));
      await page.close();
      return title ?? errors.join('; ');
    },
    version: () => browser.version(),
    async close() {
      await browser.close();
      server.close();
    },
  };
}

/** @returns {Promise<string | null>} the title of a page, once it has one; null when it gets none */
export async function waitForTitle(ask) {
  for (const end = Date.now() + 1000 * SECONDS; Date.now() < end;) {
    const title = await ask();
    if (title !== '') return title;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return null;
}

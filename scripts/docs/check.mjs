/**
 * `npm run docs:check`: opens every page of the built site, light and dark, from a folder of a server, and ends with 1 where axe finds a violation,
 * a page throws, or anything is asked for that is not there or not of the site.
 */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright';
import { launchOptions } from '../browser.mjs';
import { root } from '../tools.mjs';
import { serveSite } from './serve.mjs';

const site = join(root, 'build', 'site');
const { base, close } = await serveSite(site);

const pages = readdirSync(site, { recursive: true }).filter((file) => file.endsWith('.html') && file !== '404.html');
const browser = await chromium.launch(launchOptions());
const faults = [];
for (const colorScheme of ['light', 'dark']) {
  const context = await browser.newContext({ colorScheme });
  for (const path of pages) {
    const tell = (text) => faults.push(`${path} (${colorScheme}): ${text}`);
    const page = await context.newPage();
    page.on('pageerror', ({ message }) => tell(message));
    page.on('response', (response) => response.status() >= 400 && tell(`${response.status()} ${response.url()}`));
    page.on(
      'request',
      (request) =>
        request.url().startsWith(base) || request.url().startsWith('data:') || tell(`asks for ${request.url()}`),
    );
    await page.goto(base + path, { waitUntil: 'networkidle' });
    await page.addScriptTag({ path: join(root, 'node_modules', 'axe-core', 'axe.min.js') });
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    for (const { id, nodes } of violations) tell(`${id} at ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
    await page.close();
  }
  await context.close();
}
await browser.close();
close();
for (const fault of faults) console.error(fault);
console.log(`site: ${pages.length} pages, ${faults.length} faults`);
process.exitCode = faults.length > 0 || pages.length === 0 ? 1 : 0;

/**
 * `npm run docs:check`: opens every page of the built site, light and dark, from a folder of a server, and ends with 1 where axe finds a violation,
 * a page throws, the search finds nothing, or anything is asked for that is not there or not of the site. Tells how soon the demo page trains, before
 * anything else is done: that takes an idle machine.
 */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright';
import { launchOptions } from '../browser.mjs';
import { root } from '../tools.mjs';
import { measureDemo } from './measure_demo.mjs';
import { serveSite } from './serve.mjs';

/** Words, and the title of a page or of a part of it that the search finds by each. */
const searched = { safetensors: 'Saving and loading', DeviceLostError: 'Troubleshooting', loadStateDict: 'Sequential' };

const site = join(root, 'build', 'site');
const { base, close } = await serveSite(site);

const pages = readdirSync(site, { recursive: true }).filter((file) => file.endsWith('.html') && file !== '404.html');
const browser = await chromium.launch(launchOptions());
const faults = [];

const { firstStep, longestTask } = await measureDemo(browser, base);
console.log(
  `demo: first step ${firstStep.toFixed(2)} s after the load (at most 2), longest task ${longestTask.toFixed(0)} ms (at most 50; 0: none was as long)`,
);

for (const [word, title] of Object.entries(searched)) {
  const found = await search(word);
  if (!found.some((each) => each.includes(title)))
    faults.push(`search for '${word}': expected ${title} among ${found.join(', ') || 'nothing'}`);
}

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
    // The script of the page has taken over when it has named the switch.
    await page.locator('.VPSwitchAppearance[title^="Switch to"]').first().waitFor({ state: 'attached' });
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

/** What the search of the site offers for a word: titles, from the page to its parts. The first result has to be a page that is there. */
async function search(word) {
  const page = await browser.newPage();
  page.on('response', (response) => response.status() >= 400 && faults.push(`search for '${word}': ${response.url()}`));
  await page.goto(`${base}index.html`, { waitUntil: 'networkidle' });
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByRole('searchbox').fill(word);
  const results = page.getByRole('listbox').getByRole('option');
  const isFound = await results
    .first()
    .waitFor()
    .then(
      () => true,
      () => false,
    );
  const titles = isFound ? await results.allInnerTexts() : [];
  if (isFound) {
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => !url.pathname.endsWith('index.html'));
    await page.locator('.vp-doc h1').first().waitFor();
  }
  await page.close();
  return titles.map((text) => text.split('\n').slice(1).join(' › '));
}

/** The bundle in a page that its server keeps on a short leash. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchOptions } from '../scripts/browser.mjs';
import { trainOneStep } from './page/train_one_step.ts';
import { servePage } from './page_server.ts';

/** What a page needs to use the library, and no more. */
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'";

describe('a page with a strict content security policy', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch(launchOptions());
  });
  afterAll(() => browser.close());

  /** What the page shows in the end. */
  async function shownUnder(givenPolicy: string): Promise<string> {
    await using server = await servePage(givenPolicy);
    const page = await browser.newPage();
    await page.goto(server.address);
    const text = await page.locator('output:not(:empty)').textContent();
    await page.close();
    return text ?? '';
  }

  it('trains with the bits of Node', async () => {
    const inPage: unknown = JSON.parse(await shownUnder(policy));
    expect(inPage).toEqual(await trainOneStep(pathToFileURL(resolve('dist/index.js')).href));
  });

  it('shows the reason where the policy forbids WebAssembly', async () => {
    const text = await shownUnder("default-src 'none'; script-src 'self'");
    expect(text).toMatch(/WebAssembly.*Content Security Policy/);
  });
});

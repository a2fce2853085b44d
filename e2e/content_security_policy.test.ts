/** The bundle in a page that its server keeps on a short leash. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchOptions } from '../scripts/browser.mjs';
import { type StepBits, trainOneStep } from './page/train_one_step.ts';
import { servePage } from './page_server.ts';

/** What a page needs to use the library, and no more. */
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'";
/** What gives a page memory that threads share. */
const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

describe('a page with a strict content security policy', () => {
  let browser: Browser;
  let inNode: StepBits;
  beforeAll(async () => {
    browser = await chromium.launch(launchOptions());
    inNode = await trainOneStep(pathToFileURL(resolve('dist/index.js')).href, { kind: 'cpu', workerUrl: null });
  });
  afterAll(() => browser.close());

  /** What the page shows in the end. */
  async function shown(policy: string, query = '', headers: Readonly<Record<string, string>> = {}): Promise<string> {
    await using server = await servePage({ 'Content-Security-Policy': policy, ...headers });
    const page = await browser.newPage();
    await page.goto(server.address + query);
    const text = await page.locator('output:not(:empty)').textContent();
    await page.close();
    return text ?? '';
  }

  it.each([
    { where: 'the calling thread', needs: '', query: '', headers: {} },
    { where: 'workers that come with the bundle', needs: '; worker-src blob:', query: '?kind=worker', headers: {} },
    {
      where: 'workers from the page’s own address',
      needs: "; worker-src 'self'",
      query: '?kind=worker&workerUrl=/dist/worker.js',
      headers: {},
    },
    {
      where: 'workers that share memory with an isolated page',
      needs: '; worker-src blob:',
      query: '?kind=worker',
      headers: isolation,
    },
  ])('trains in $where with the bits of Node', async ({ needs, query, headers }) => {
    const text = await shown(policy + needs, query, headers);
    expect(JSON.parse(text)).toEqual({ step: inNode, sharesMemory: headers === isolation });
  });

  it('shows the reason where the policy forbids WebAssembly', async () => {
    const text = await shown("default-src 'none'; script-src 'self'");
    expect(text).toMatch(/^NoWebAssemblyError: .*add 'wasm-unsafe-eval'/);
  });

  it('says what to do where the policy forbids the workers of the bundle', async () => {
    expect(await shown(`${policy}; worker-src 'self'`, '?kind=worker')).toMatch(/worker:\d.*configure\(\{ workerUrl/);
  });
});

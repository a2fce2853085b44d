/** The demo page of the site, as somebody uses it who has never seen it: by what it shows and says. */

import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchOptions } from '../scripts/browser.mjs';
import { buildPages } from '../scripts/docs/pages.mjs';
import { serveSite } from '../scripts/docs/serve.mjs';

const site = resolve('build', 'demo_site');
/** `UPDATE_PICTURES=1` renews the pictures that the site shows, after 100 steps. */
const isUpdating = process.env['UPDATE_PICTURES'] === '1';
const pictures = resolve('build', 'demo_pictures');
/** Until the curves have gone their way. */
const patience = 600_000;
/** As much of the page as shows what it is about. */
const desk = { width: 1280, height: 996 };

describe('the demo page', () => {
  let browser: Browser;
  let server: Awaited<ReturnType<typeof serveSite>>;
  let faults: string[] = [];

  beforeAll(async () => {
    buildPages(site, 'demo');
    mkdirSync(pictures, { recursive: true });
    browser = await chromium.launch(launchOptions());
    server = await serveSite(site);
  });
  afterAll(async () => {
    await browser.close();
    server.close();
  });
  afterEach(() => {
    expect(faults).toEqual([]);
    faults = [];
  });

  /** Opens the page. What it throws, misses or asks others for is a fault. */
  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options });
    page.on('pageerror', ({ message }) => faults.push(message));
    page.on('response', (response) => response.status() >= 400 && faults.push(response.url()));
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(server.base)) faults.push(request.url());
    });
    if (isUpdating) page.setDefaultTimeout(patience);
    await page.goto(`${server.base}demo.html`);
    return page;
  }

  it('trains_plain_and_synchronized_side_by_side_and_says_what_comes_of_it', async () => {
    const page = await open();
    await chooseDevices(page, { cpu: 4 });
    await page.getByRole('button', { name: 'Train' }).click();
    await testedAfter(page, 10);
    expect(await headline(page)).toMatch(
      /^After 10 steps on 4 devices, plain batch norm tells \d+ % of new digits right, synchronized batch norm \d+ %, with exactly the weights that one device learns\.$/,
    );
    expect(await page.getByRole('img', { name: /^Loss, by step; at step \d+ one device [\d.]+, plain/ }).count()).toBe(
      1,
    );
    expect(await page.getByText(/^\d as \d$/).count()).toBeGreaterThan(8);
    expect(await page.getByText('All devices: the mean and the deviation of the batch.').count()).toBe(1);
    await page.getByLabel('Layer').selectOption({ index: 0 });
    await page.getByText('The numbers').click();
    expect(await page.getByRole('row', { name: /^cpu:3/ }).count()).toBe(1);
    expect(await page.getByText(/^A synchronized step takes [\d.]+ ms/).count()).toBe(1);
    // In a thread of its own.
    expect(page.workers().length).toBeGreaterThan(0);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Go on' }).waitFor();
    await page.close();
  });

  it('breaks_a_worker_shows_the_error_and_goes_on_with_a_fresh_one_by_keyboard_alone', async () => {
    const page = await open();
    await page.getByRole('radio', { name: 'Shapes' }).focus();
    await page.keyboard.press('Space');
    await chooseDevices(page, { cpu: 1, worker: 1 });
    await page.getByRole('button', { name: 'Train' }).press('Enter');
    await testedAfter(page, 1);
    await page.getByRole('button', { name: 'Break it' }).press('Enter');
    const error = page.getByRole('region', { name: 'The error' });
    expect(await error.textContent()).toMatch(/^ReplicaError: .*on device worker:0[^]*DeviceLostError/);
    expect(await page.getByText('nothing has changed.').count()).toBe(1);
    // The focus is where one goes on.
    await page.keyboard.press('Enter');
    await page.getByText(/worker:0 was lost and replaced\. At step \d+ /).waitFor();
    await page.close();
  });

  it('tells_that_plain_batch_norm_cannot_learn_from_one_sample_per_device', async () => {
    const page = await open();
    await chooseDevices(page, { cpu: 2 });
    await page.getByLabel('Samples per device').selectOption('1');
    await page.getByRole('button', { name: 'Train' }).click();
    await testedAfter(page, 1);
    expect(await headline(page)).toMatch(/Plain batch norm cannot train here: each device has a single value/);
    await page.close();
  });

  it('offers_the_gpu_by_the_name_of_its_adapter_and_refuses_what_it_cannot_train', async () => {
    const page = await open();
    await page.getByLabel(/GPU: .*swiftshader/i).waitFor();
    await chooseDevices(page, { cpu: 1 });
    await page.getByText('Choose two devices or more.').waitFor();
    expect(await page.getByRole('button', { name: 'Train' }).isDisabled()).toBe(true);
    await page.close();
  });

  it.each([
    { name: 'demo_light', task: 'Digits', options: { colorScheme: 'light', viewport: desk } },
    { name: 'demo_dark', task: 'Digits', options: { colorScheme: 'dark', viewport: desk } },
    { name: 'demo_phone', task: 'Shapes', options: { colorScheme: 'light', viewport: { width: 390, height: 844 } } },
  ] as const)(
    'is_fit_for_all_eyes_and_screens: $name',
    { timeout: isUpdating ? patience : 60_000 },
    async ({ name, task, options }) => {
      const page = await open(options);
      await page.getByRole('radio', { name: task }).click();
      if (task === 'Shapes') await chooseDevices(page, { cpu: 4 });
      await page.getByRole('button', { name: 'Train' }).click();
      await testedAfter(page, isUpdating ? 100 : 1);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(width).toBeLessThanOrEqual(page.viewportSize()?.width ?? 0);
      await page.addScriptTag({ path: resolve('node_modules', 'axe-core', 'axe.min.js') });
      // As text: the test runner would change a function.
      const violations = await page.evaluate(
        "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ' at ' + nodes.map(({ target }) => target).join(' ')))",
      );
      expect(violations).toEqual([]);
      if (task === 'Shapes') await page.locator('.headline').evaluate((element) => element.scrollIntoView());
      const folder = isUpdating && task === 'Digits' ? resolve('docs', 'public') : pictures;
      await page.screenshot({ path: join(folder, `${name}.png`) });
      await page.close();
    },
  );

  it('is_found_by_the_search_of_the_site', async () => {
    const page = await open();
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('searchbox').fill('believes');
    const results = page.getByRole('listbox').getByRole('option');
    await results.first().waitFor();
    expect(await results.first().textContent()).toMatch(/One batch, many devices/);
    await page.close();
  });
});

/** What the page says in one sentence. */
async function headline(page: Page): Promise<string | null> {
  return page.locator('.headline').textContent();
}

async function testedAfter(page: Page, steps: number): Promise<void> {
  await page.locator('.headline', { hasText: new RegExp(`^After ${steps} step`) }).waitFor();
}

/** Kinds that are not named get none. */
async function chooseDevices(page: Page, counts: Readonly<Record<string, number>>): Promise<void> {
  await page.locator('#count_cpu').waitFor();
  for (const kind of ['cpu', 'worker']) await page.locator(`#count_${kind}`).selectOption(String(counts[kind] ?? 0));
}

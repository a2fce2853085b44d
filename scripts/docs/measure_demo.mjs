/** How soon the demo page trains, and whether it stays free meanwhile. */

/** Steps that the page is watched for. */
const STEPS = 20;

/**
 * Opens the page anew and trains.
 * @param {import('playwright').Browser} browser
 * @param {string} base - address of the site
 * @returns {Promise<{ firstStep: number, longestTask: number }>} seconds from the page's load to its first step, with the button pressed as
 * soon as it is there; milliseconds of the longest task of the page's thread, loading included, of those that browsers call long: 50 ms and more; 0: none
 */
export async function measureDemo(browser, base) {
  const page = await browser.newPage();
  await page.addInitScript(`
    globalThis.longTasks = [];
    new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration)))
      .observe({ type: 'longtask', buffered: true });
  `);
  await page.goto(`${base}demo.html`);
  await page.getByRole('button', { name: 'Train' }).click();
  await page
    .getByText(/^Step 1:/)
    .first()
    .waitFor();
  const firstStep = (await page.evaluate('performance.now()')) / 1000;
  await page.locator('.headline', { hasText: `After ${STEPS} steps` }).waitFor({ timeout: 120_000 });
  const longestTask = await page.evaluate('Math.max(0, ...longTasks)');
  await page.close();
  return { firstStep, longestTask };
}

/** Ranks in Node and in pages of one job over NATS: `examples/digits_nats`, run as its command and looked at in Chromium. */

import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Browser, type CDPSession, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchOptions } from '../scripts/browser.mjs';

/** More steps than any test waits for. */
const ENDLESS = 100_000;
/** A rank that is gone is found out within a second where nothing else runs. */
const SOON_MS = 5000;
/** How long ranks wait for one that is frozen. */
const PATIENCE_SECONDS = 10;

/** The command of the example. */
interface Run extends AsyncDisposable {
  /** Where it serves the page. */
  readonly address: Promise<string>;
  /** All that it prints, line by line. */
  readonly lines: readonly string[];
  /** Its exit code. */
  readonly end: Promise<number | null>;
}

function start(...parameters: readonly string[]): Run {
  const child = spawn(process.execPath, ['scripts/run_ts.mjs', 'examples/digits_nats/main.ts', ...parameters], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its own children end with it.
    detached: true,
  });
  const lines: string[] = [];
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', (line) => lines.push(line));
  const address = expect
    .poll(() => lines.find((line) => line.startsWith('open ')), { timeout: 30_000 })
    .toBeDefined()
    .then(() => lines.map((line) => /^open (\S+)/.exec(line)?.[1]).find((found) => found !== undefined) ?? '');
  const end = new Promise<number | null>((done) => child.on('close', done));
  return { address, lines, end, [Symbol.asyncDispose]: () => killGroup(child) };
}

async function killGroup(child: ChildProcess): Promise<void> {
  const { pid, exitCode, signalCode } = child;
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  const gone = new Promise((done) => child.once('close', done));
  process.kill(-pid, 'SIGKILL');
  await gone;
}

let browser: Browser;
beforeAll(async () => {
  // As in a browser that people use, hidden pages are slowed down.
  const ignoreDefaultArgs = [
    '--disable-background-timer-throttling',
    '--disable-backgrounding-occluded-windows',
    '--disable-renderer-backgrounding',
  ];
  browser = await chromium.launch({ ...launchOptions(), ignoreDefaultArgs });
});
afterAll(() => browser.close());
async function open(address: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(address);
  return page;
}

const stepOf = async (page: Page): Promise<number> =>
  Number.parseInt((await page.locator('#step').textContent()) ?? '');

const stepIn = (tab: Tab): Promise<unknown> => tab.evaluate('parseInt(document.querySelector("#step").textContent)');

describe('Node and pages in one job', () => {
  it('train_one_network_with_the_numbers_of_one_process', async () => {
    await using run = start('--node-ranks', '2', '--pages', '1', '--steps', '12', '--compare');
    const page = await open(await run.address);
    await page.locator('#status[data-state=done]').waitFor();
    expect(await page.locator('#step').textContent()).toBe('12 / 12');
    expect(await page.locator('#ranks tr').allInnerTexts()).toEqual([
      expect.stringMatching(/^0\s+Node \d+.*\s+5 of 16$/),
      expect.stringMatching(/^1\s+Node \d+.*\s+5 of 16$/),
      expect.stringMatching(/^2\s+Chrom.*, this page\s+6 of 16$/),
    ]);
    const points = await page.locator('#curve polyline').getAttribute('points');
    expect(points?.split(' ')).toHaveLength(12);
    for (const id of ['#speed', '#time', '#loss']) {
      expect(Number.parseFloat((await page.locator(id).textContent()) ?? '')).toBeGreaterThan(0);
    }
    await page.addScriptTag({ path: resolve('node_modules', 'axe-core', 'axe.min.js') });
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const violations = await page.evaluate('axe.run().then(({ violations }) => violations.map(({ id }) => id))');
      expect(violations, colorScheme).toEqual([]);
    }
    await page.close();
    expect(await run.end, run.lines.join('\n')).toBe(0);
    expect(run.lines).toContain('all 3 ranks have the same weights, bit for bit');
    expect(run.lines).toContain('they are those of one process, bit for bit');
  });

  it('are_told_of_a_page_that_is_closed_by_one_error', async () => {
    await using run = start('--pages', '2', '--steps', String(ENDLESS));
    const address = await run.address;
    const [staying, closed] = [await open(address), await open(address)];
    await staying.locator('#status[data-state=waiting], #status[data-state=training]').waitFor();
    await expect.poll(() => stepOf(closed), { timeout: 30_000 }).toBeGreaterThan(2);
    const gone = (await closed.locator('#ranks tr.own td').first().textContent()) ?? '';
    await closed.close();
    const closedAt = performance.now();
    expect(await run.end).toBe(1);
    expect(performance.now() - closedAt).toBeLessThan(SOON_MS);
    expect(run.lines.filter((line) => line.includes('Error'))).toEqual([
      expect.stringMatching(new RegExp(`PeerLostError: process group, .*: rank ${gone} is gone`)),
    ]);
    await staying.locator('#status[data-state=failed]').waitFor();
    expect(await staying.locator('#status').textContent()).toMatch(`rank ${gone} is gone`);
    await staying.close();
  });

  it('go_on_while_the_page_is_hidden', async () => {
    await using run = start('--steps', '25', '--compare');
    await using tab = await Tab.open(await browser.newBrowserCDPSession(), await run.address);
    await expect.poll(() => stepIn(tab), { timeout: 30_000 }).toBeGreaterThan(2);
    await using front = await tab.openInFront('about:blank');
    expect(await tab.evaluate('document.visibilityState')).toBe('hidden');
    expect(await front.evaluate('document.visibilityState')).toBe('visible');
    expect(await run.end, run.lines.join('\n')).toBe(0);
    expect(run.lines).toContain('they are those of one process, bit for bit');
    expect(await tab.evaluate('document.querySelector("#status").dataset.state')).toBe('done');
  });

  it('wait_for_a_page_that_the_browser_has_frozen_until_time_is_up_and_it_is_told_so_when_it_goes_on', async () => {
    await using run = start('--steps', String(ENDLESS), '--timeout', String(PATIENCE_SECONDS));
    await using tab = await Tab.open(await browser.newBrowserCDPSession(), await run.address);
    await expect.poll(() => stepIn(tab), { timeout: 30_000 }).toBeGreaterThan(2);
    // Browsers freeze hidden pages only.
    await using front = await tab.openInFront('about:blank');
    expect(await front.evaluate('document.visibilityState')).toBe('visible');
    const frozenAt = performance.now();
    await tab.setFrozen(true);
    expect(await run.end).toBe(1);
    expect(performance.now() - frozenAt).toBeGreaterThan(0.9 * PATIENCE_SECONDS * 1000);
    const text = `waited ${PATIENCE_SECONDS} s for rank 1`;
    expect(run.lines.filter((line) => line.includes('Error'))).toEqual([expect.stringContaining(text)]);
    await tab.setFrozen(false);
    const status = 'document.querySelector("#status")';
    await expect.poll(() => tab.evaluate(`${status}.dataset.state`), { timeout: 30_000 }).toBe('failed');
    expect(await tab.evaluate(`${status}.textContent`)).toMatch(/GroupTimeoutError|ConnectionLostError/);
  });
});

/** A tab beside others in one window. Pages that Playwright makes have a window each and are never hidden. */
class Tab implements AsyncDisposable {
  readonly #session: CDPSession;
  readonly #targetId: string;
  readonly #sessionId: string;
  #messages = 0;

  private constructor(session: CDPSession, targetId: string, sessionId: string) {
    this.#session = session;
    this.#targetId = targetId;
    this.#sessionId = sessionId;
  }

  static async open(session: CDPSession, url: string): Promise<Tab> {
    const { targetId } = await session.send('Target.createTarget', { url });
    const { sessionId } = await session.send('Target.attachToTarget', { targetId, flatten: false });
    return new Tab(session, targetId, sessionId);
  }

  openInFront(url: string): Promise<Tab> {
    return Tab.open(this.#session, url);
  }

  /** @returns the value of an expression. */
  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.#send('Runtime.evaluate', { expression, returnByValue: true });
    return (result as { readonly value: unknown } | undefined)?.value;
  }

  /** Stops the page with its workers, as browsers do with hidden ones to save energy. */
  async setFrozen(isFrozen: boolean): Promise<void> {
    await this.#send('Page.setWebLifecycleState', { state: isFrozen ? 'frozen' : 'active' });
  }

  #send(method: string, params: object): Promise<{ readonly result?: unknown }> {
    this.#messages += 1;
    const id = this.#messages;
    return new Promise((resolve) => {
      const hear = (event: { readonly sessionId: string; readonly message: string }): void => {
        const answer = JSON.parse(event.message) as {
          readonly id?: number;
          readonly result?: { readonly result?: unknown };
        };
        if (event.sessionId !== this.#sessionId || answer.id !== id) return;
        this.#session.off('Target.receivedMessageFromTarget', hear);
        resolve(answer.result ?? {});
      };
      this.#session.on('Target.receivedMessageFromTarget', hear);
      const message = JSON.stringify({ id, method, params });
      void this.#session.send('Target.sendMessageToTarget', { sessionId: this.#sessionId, message });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.send('Target.closeTarget', { targetId: this.#targetId });
  }
}

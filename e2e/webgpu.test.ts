/** The bundle on the GPU of a page: what it loads, what it says where there is none, and how it goes on when the GPU is gone. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchOptions } from '../scripts/browser.mjs';
import { expectWithin, type Quantity } from '../tests/support/tolerances.ts';
import type * as LoseGpu from './page/lose_gpu.ts';
import { type StepBits, trainOneStep } from './page/train_one_step.ts';
import { type PageServer, servePage } from './page_server.ts';

const quantities = [
  ['output', 'output'],
  ['inputGradient', 'gradient'],
  ['weightGradient', 'gradient'],
  ['runningVar', 'running'],
] as const satisfies [keyof StepBits, Quantity][];

describe('WebGPU in a page', () => {
  let browser: Browser;
  let server: PageServer;
  beforeAll(async () => {
    browser = await chromium.launch(launchOptions());
    server = await servePage({
      'Content-Security-Policy': "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'",
    });
  });
  afterAll(async () => {
    await browser.close();
    await server[Symbol.asyncDispose]();
  });

  /** What the page shows that trains a step on GPUs. */
  async function shown(prepare: (page: Page) => Promise<unknown>): Promise<string> {
    const page = await browser.newPage();
    await prepare(page);
    await page.goto(`${server.address}?kind=webgpu`);
    const text = await page.locator('output:not(:empty)').textContent();
    await page.close();
    return text ?? '';
  }

  it('trains a step over three devices under a strict policy, as Node does on the CPU', async () => {
    const { step } = JSON.parse(await shown(() => Promise.resolve())) as { step: StepBits };
    const expected = await trainOneStep(pathToFileURL(resolve('dist/index.js')).href, { kind: 'cpu', workerUrl: null });
    for (const [name, quantity] of quantities) {
      expectWithin('WebGPU against f64', quantity, numbersOf(step[name]), numbersOf(expected[name]), name);
    }
  });

  it('is missed with a way out where the browser has none', async () => {
    const text = await shown((page) => page.addInitScript("Object.defineProperty(navigator, 'gpu', {})"));
    expect(text).toMatch(/NoWebGpuError: device webgpu:0: there is no WebGPU here; .*or stay on 'cpu' or 'worker'/);
  });

  it('ends promptly with its process: the state is that before, and a fresh device gives the same bits', async () => {
    const page = await browser.newPage();
    await page.goto(server.address);
    // As text: the test runner would replace an import() of a function.
    const call = (name: keyof typeof LoseGpu) =>
      page.evaluate(`import('/lose_gpu.ts').then((module) => module.${name}())`);
    const first = (await call('step')) as LoseGpu.Outcome;
    const lost = call('stepUntilLost') as Promise<LoseGpu.Failure>;
    const session = await browser.newBrowserCDPSession();
    await session.send('Browser.crashGpuProcess');
    const { names, text, state } = await lost;
    expect(names).toContain('DeviceLostError');
    expect(text).toContain("devices.recreate('webgpu:0')");
    expect([state.numBatchesTracked, state.runningVar]).toEqual([0, [1, 1, 1]]);
    expect(await call('stepOnFreshDevice')).toEqual(first);
    await page.close();
  });
});

function numbersOf(bits: readonly number[]): number[] {
  return [...new Float32Array(Uint32Array.from(bits).buffer)];
}

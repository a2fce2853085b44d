/** Ranks in Web Workers of a page: through shared memory where the page is cross-origin isolated, by messages where it is not. */

import { type Browser, chromium } from 'playwright';
import { createLocalGroups } from 'syncbn/distributed';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchOptions } from '../scripts/browser.mjs';
import { type RankStep, stepOfRank } from './page/rank_step.ts';
import type { Spawned } from './page/spawn_ranks.ts';
import { servePage } from './page_server.ts';

const isolating = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

let browser: Browser;
beforeAll(async () => {
  browser = await chromium.launch(launchOptions());
});
afterAll(() => browser.close());

async function spawnIn(headers: Readonly<Record<string, string>>, nprocs: number): Promise<Spawned> {
  await using server = await servePage(headers);
  const page = await browser.newPage();
  try {
    await page.goto(server.address);
    // As text: the test runner would replace an import() of a function.
    return await page.evaluate<Spawned>(`import('/spawn_ranks.ts').then(({ spawnRanks }) => spawnRanks(${nprocs}))`);
  } finally {
    await page.close();
  }
}

async function stepOfOneProcess(): Promise<RankStep> {
  const [group] = await createLocalGroups(1);
  if (group === undefined) throw new Error('expected a group');
  return stepOfRank('syncbn', group);
}

describe('ranks in Web Workers', () => {
  it.each([
    { name: 'that is cross-origin isolated exchange through shared memory', headers: isolating, isIsolated: true },
    { name: 'that is not exchange by messages', headers: {}, isIsolated: false },
  ])('of a page $name, with the bits of one process in Node', async ({ headers, isIsolated }) => {
    const expected = await stepOfOneProcess();
    for (const nprocs of [2, 3]) {
      const found = await spawnIn(headers, nprocs);
      expect(found.isIsolated).toBe(isIsolated);
      expect(found.ranks).toHaveLength(nprocs);
      expect(found.ranks.flatMap(({ step }) => step.output)).toEqual(expected.output);
      expect(found.ranks.flatMap(({ step }) => step.inputGradient)).toEqual(expected.inputGradient);
      for (const { step, frames, messages } of found.ranks) {
        expect(step.state).toEqual(expected.state);
        // One exchange forward with the shapes, one with the partials, one backward.
        expect(frames).toBeGreaterThanOrEqual(3);
        if (isIsolated) expect(messages).toBe(0);
        else expect(messages).toBeGreaterThanOrEqual(frames);
      }
    }
  });
});

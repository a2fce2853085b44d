/** Ranks whose shared memory somebody else writes to. */

import { init } from 'syncbn';
import { beforeAll, expect, it } from 'vitest';
import { randomBits } from '../support/random.ts';
import { isGatheredRight, portsPair } from './ports_groups.ts';

beforeAll(() => init(['cpu:0']));

it('spoils_no_collective', async () => {
  const both = await portsPair('shared memory');
  const { first, second, memory } = both;
  let wrong = 0;
  for (let i = 0; i < 120; i++) {
    const running = isGatheredRight(both, i);
    // Both have written, and neither has looked.
    if (i % 3 === 0) damage(memory, i);
    wrong += (await running) ? 0 : 1;
  }
  expect(wrong).toBe(0);
  expect(first.frames.refused + second.frames.refused).toBeGreaterThan(20);
  expect(first.frames.sentAgain + second.frames.sentAgain).toBeGreaterThan(10);
  await Promise.all([first.destroy(), second.destroy()]);
});

/** Changes a byte of what was written last to each rank. */
function damage(bytes: Uint8Array, seed: number): void {
  for (const end of [bytes.length / 2, bytes.length]) {
    let last = end - 1;
    while (bytes[last] === 0) last -= 1;
    const at = last - (randomBits(seed, end) % 120);
    bytes[at] = (bytes[at] ?? 0) ^ 255;
  }
}

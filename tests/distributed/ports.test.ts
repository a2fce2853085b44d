/** Ranks that exchange through message ports and shared memory: here all in one thread, so that a test can get at what is between them. */

import { init } from 'syncbn';
import { PeerLostError, type ProcessGroup } from 'syncbn/distributed';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomBits } from '../support/random.ts';
import { isGatheredRight, type PortsPair, portsPair, ways } from './ports_groups.ts';

beforeAll(() => init(['cpu:0']));

let groups: readonly ProcessGroup[] = [];
afterEach(async () => {
  await Promise.all(groups.map((group) => group.destroy()));
  groups = [];
});

async function pair(way: string): Promise<PortsPair> {
  const made = await portsPair(way);
  groups = [made.first, made.second];
  return made;
}

describe.each(ways)('ranks that exchange by %s', (way) => {
  it('get_what_the_others_have_sent', async () => {
    const both = await pair(way);
    for (let i = 0; i < 60; i++) expect(await isGatheredRight(both, i)).toBe(true);
  });

  it.each([0, 4, 8192, 8196, 3_000_000])('get_messages_of_%d_bytes', async (length) => {
    const { first, second } = await pair(way);
    const bytes = Uint8Array.from({ length }, (_, i) => randomBits(length, i));
    const [[, gathered]] = await Promise.all([first.allGather(new Uint8Array()), second.allGather(bytes)]);
    expectSameBits(new Float32Array(gathered?.slice().buffer ?? bytes), new Float32Array(bytes.buffer));
  });

  it('get_what_was_sent_before_they_listened', async () => {
    const { first, second } = await pair(way);
    for (let i = 0; i < 50; i++) await first.send(Uint8Array.of(i), 1);
    for (let i = 0; i < 50; i++) expect(await second.recv(Uint8Array.of(255), 0)).toEqual(Uint8Array.of(i));
  });

  it('fail_within_a_second_when_the_other_is_gone', async () => {
    const { first, second, ports } = await pair(way);
    await Promise.all([first.barrier(), second.barrier()]);
    const start = performance.now();
    ports[1].close();
    // Browsers do not tell of closed ports; there `spawn()` watches its workers.
    const isTold = await Promise.race([
      new Promise<boolean>((resolve) => ports[0].addEventListener('close', () => resolve(true))),
      new Promise<boolean>((resolve) => setTimeout(resolve, 200, false)),
    ]);
    if (isTold) {
      await expect(first.barrier()).rejects.toBeInstanceOf(PeerLostError);
      expect(performance.now() - start).toBeLessThan(2000);
    }
    // They need not wait for answers at the end.
    [first, second].forEach((group) => group.abort('closed'));
  });
});

/** Ranks that exchange through message ports and shared memory: here all in one thread, so that a test can get at what is between them. */

import { init } from 'syncbn';
import { PeerLostError, type ProcessGroup } from 'syncbn/distributed';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomBits } from '../support/random.ts';
import { portsGroups, ways } from './ports_groups.ts';

beforeAll(() => init(['cpu:0']));

let groups: readonly ProcessGroup[] = [];
afterEach(async () => {
  await Promise.all(groups.map((group) => group.destroy()));
  groups = [];
});

interface Pair {
  readonly first: ProcessGroup;
  readonly second: ProcessGroup;
  readonly ports: readonly [MessagePort, MessagePort];
  /** Of what they share. */
  readonly memory: Uint8Array;
}

function pair(way: string): Pair {
  const made = portsGroups(2, way, { timeout: 10 });
  groups = made.groups;
  const [[first, second], [port1, port2]] = [made.groups, [made.ports[0]?.[1], made.ports[1]?.[0]]];
  if (!first || !second || !port1 || !port2) throw new Error('expected two ranks');
  return { first, second, ports: [port1, port2], memory: made.memory };
}

/** One collective, whose values tell its number; whether both ranks have got them. */
async function isRight({ first, second }: Pair, i: number): Promise<boolean> {
  const own = (rank: number): Uint8Array =>
    Uint8Array.from({ length: 64 + (i % 5) }, (_, at) => randomBits(rank, i + at));
  const all = await Promise.all([first, second].map((group) => group.allGather(own(group.rank), `lane ${i % 3}`)));
  return all.every((gathered) => gathered.every((bytes, rank) => bytes.every((byte, at) => byte === own(rank)[at])));
}

describe.each(ways)('ranks that exchange by %s', (way) => {
  it('get_what_the_others_have_sent', async () => {
    const both = pair(way);
    for (let i = 0; i < 60; i++) expect(await isRight(both, i)).toBe(true);
  });

  it.each([0, 4, 8192, 8196, 3_000_000])('get_messages_of_%d_bytes', async (length) => {
    const { first, second } = pair(way);
    const bytes = Uint8Array.from({ length }, (_, i) => randomBits(length, i));
    const [[, gathered]] = await Promise.all([first.allGather(new Uint8Array()), second.allGather(bytes)]);
    expectSameBits(new Float32Array(gathered?.slice().buffer ?? bytes), new Float32Array(bytes.buffer));
  });

  it('get_what_was_sent_before_they_listened', async () => {
    const { first, second } = pair(way);
    for (let i = 0; i < 50; i++) await first.send(Uint8Array.of(i), 1);
    for (let i = 0; i < 50; i++) expect(await second.recv(Uint8Array.of(255), 0)).toEqual(Uint8Array.of(i));
  });

  it('fail_within_a_second_when_the_other_is_gone', async () => {
    const { first, second, ports } = pair(way);
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

describe.runIf(ways.length > 1)('shared memory that is damaged', () => {
  it('spoils_no_collective', async () => {
    const both = pair('shared memory');
    let wrong = 0;
    for (let i = 0; i < 120; i++) {
      const running = isRight(both, i);
      // Both have written, and neither has looked.
      if (i % 3 === 0) damage(both.memory, i);
      wrong += (await running) ? 0 : 1;
    }
    expect(wrong).toBe(0);
    expect(both.first.frames.refused + both.second.frames.refused).toBeGreaterThan(20);
    expect(both.first.frames.sentAgain + both.second.frames.sentAgain).toBeGreaterThan(10);
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
});

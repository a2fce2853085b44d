/** Transports that carry frames badly: every collective is right, or fails; none hangs. */

import { init } from 'syncbn';
import { createLocalGroups, type ProcessGroup, runRanks, type Transport } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { randomBits } from '../support/random.ts';
import { lossy } from './lossy_transport.ts';

beforeAll(() => init(['cpu:0']));

describe('frames that are dropped, doubled and reordered', () => {
  const collectives = 2000;
  const wrap = (transport: Transport): Transport =>
    lossy(transport, { dropped: 0.1, doubled: 0.1, reordered: 0.1, seed: 4 });

  it('spoil_none_of_2000_collectives', async () => {
    // Several at once, as layers and buckets are: what is missing is noticed by what comes later.
    const found = await runRanks(
      3,
      async (group) => {
        let wrong = 0;
        await Promise.all(
          Array.from({ length: 8 }, async (_, lane) => {
            for (let i = lane; i < collectives; i += 8) {
              wrong += (await isRight(group, i, `lane ${lane}`)) ? 0 : 1;
            }
          }),
        );
        return { wrong, ...group.frames };
      },
      { wrap },
    );
    for (const { wrong, sentAgain, doubled } of found) {
      expect(wrong).toBe(0);
      // Control: there was something to mend.
      expect(sentAgain).toBeGreaterThan(100);
      expect(doubled).toBeGreaterThan(100);
    }
  });

  it.each([2, 3])('spoil_no_long_sum_of_%i_ranks_whose_result_takes_the_place_of_what_was_sent', async (size) => {
    const found = await runRanks(
      size,
      async (group) => {
        const values = new Float32Array(5000).fill(group.rank + 1);
        const first: number[] = [];
        for (let i = 0; i < 30; i++) {
          await group.allReduce(values, { op: i % 2 === 0 ? 'sum' : 'mean' });
          first.push(new Set(values).size === 1 ? (values[0] ?? NaN) : NaN);
        }
        return { first, sentAgain: group.frames.sentAgain };
      },
      { wrap },
    );
    const sum = (size * (size + 1)) / 2;
    const expected = Array.from({ length: 30 }, (_, i) => sum * size ** Math.floor(i / 2));
    for (const { first, sentAgain } of found) {
      expect(first).toEqual(expected.map(Math.fround));
      expect(sentAgain).toBeGreaterThan(5);
    }
  });

  it('spoil_no_message_of_many_pieces', async () => {
    const bytes = Uint8Array.from({ length: 50_000 }, (_, i) => randomBits(1, i));
    const small = (transport: Transport): Transport => wrap({ ...transport, maxFrame: 6000 });
    const found = await runRanks(2, (group) => group.allGather(bytes.subarray(group.rank)), { wrap: small });
    for (const [first, second] of found) {
      expect(first).toEqual(bytes);
      expect(second).toEqual(bytes.subarray(1));
    }
  });

  async function isRight(group: ProcessGroup, i: number, tag: string): Promise<boolean> {
    if (i % 2 === 0) {
      const all = await group.allGather(Uint8Array.of(group.rank, i), tag);
      return all.every((bytes, rank) => bytes[0] === rank && bytes[1] === i % 256);
    }
    const [sum] = await group.allReduce(Float32Array.of(i + group.rank), { tag });
    return sum === 3 * i + 3;
  }
});

describe('a large message to a rank that is slow', () => {
  it('is_sent_in_step_with_it', async () => {
    // What has been sent and not taken yet, in bytes.
    let underWay = 0;
    let most = 0;
    const slow = (transport: Transport): Transport => ({
      ...transport,
      publish: (frame) => {
        underWay += frame.length;
        most = Math.max(most, underWay);
        transport.publish(frame);
      },
      onFrame: (receive) => {
        transport.onFrame((frame) => {
          setTimeout(() => {
            underWay -= transport.rank === 1 ? frame.length : 0;
            receive(frame);
          }, 2);
        });
      },
    });
    const size = 40_000_000;
    const found = await runRanks(2, (group) => group.broadcast(new Uint8Array(size).fill(1 - group.rank)), {
      wrap: slow,
    });
    expect(found[1]?.every((value) => value === 1)).toBe(true);
    expect(most).toBeLessThan(12_000_000);
    expect(most).toBeGreaterThan(1_000_000);
  });
});

describe('damaged frames', () => {
  const count = 10_000;

  /** A frame with one thing wrong. */
  function damaged(frame: Uint8Array, i: number): Uint8Array {
    const at = randomBits(7, i) % frame.length;
    const bytes = frame.slice();
    switch (i % 5) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (i % 8));
        return bytes;
      case 1:
        return frame.slice(0, at);
      case 2:
        return Uint8Array.of(...frame, i % 256);
      case 3:
        return bytes.map((_, j) => randomBits(i, j));
      default:
        return bytes.fill(randomBits(i, 0) % 256, at, at + 9).map((byte, j) => (j === at ? byte ^ 85 : byte));
    }
  }

  it('are_counted_and_none_of_10000_is_taken', async () => {
    const seen: Uint8Array[] = [];
    let deliver: (frame: Uint8Array) => void = () => undefined;
    const wrap = (transport: Transport): Transport => ({
      ...transport,
      onFrame: (receive) => {
        transport.onFrame((frame) => {
          if (transport.rank === 0) {
            seen.push(frame.slice());
            deliver = receive;
          }
          receive(frame);
        });
      },
    });
    const [first, second] = await createLocalGroups(2, { wrap });
    const gather = (values: number[]): Promise<unknown> =>
      Promise.all([first?.allGather(Uint8Array.from(values)), second?.allGather(Uint8Array.from(values))]);
    await gather([1, 2, 3]);
    await gather([]);
    expect(seen.length).toBeGreaterThan(1);
    const { received = 0 } = first?.frames ?? {};
    for (let i = 0; i < count; i++) {
      const frame = seen[i % seen.length] ?? new Uint8Array();
      const other = damaged(frame, i);
      // A change that changed nothing would be no damage.
      expect(other).not.toEqual(frame);
      deliver(other);
    }
    expect(first?.frames).toMatchObject({ received, refused: count });
    expect(first?.failure).toBeNull();
    await gather([4]);
  });

  it('of_another_job_are_not_taken', async () => {
    const frames: Uint8Array[] = [];
    const tap = (transport: Transport): Transport => ({
      ...transport,
      publish: (frame) => {
        frames.push(frame.slice());
        transport.publish(frame);
      },
    });
    await runRanks(2, (group) => group.barrier(), { wrap: tap });
    const [group] = await createLocalGroups(2, {
      wrap: (transport) => ({ ...transport, onFrame: (receive) => frames.forEach(receive) }),
    });
    expect(group?.frames).toMatchObject({ received: 0, refused: frames.length });
  });
});

it('a_thousand_steps_leave_no_memory', async () => {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('there is no gc()');
  const kept: WeakRef<object>[] = [];
  await runRanks(2, async (group) => {
    for (let step = 0; step < 1000; step++) {
      const all = await group.allGather(new Uint8Array(2000), 'layer');
      if (step === 500) all.forEach(({ buffer }) => kept.push(new WeakRef(buffer)));
    }
    await new Promise((resolve) => setTimeout(resolve));
    gc();
  });
  expect(kept.map((reference) => reference.deref())).toEqual(kept.map(() => undefined));
});

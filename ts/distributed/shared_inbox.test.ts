import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { portsMemory, ringBytes } from './ports_memory.ts';
import { SharedInbox } from './shared_inbox.ts';

const SIZE = 64;

/** The inbox of rank 1 among so many that rings are short, with its memory. */
function inbox(): { readonly own: SharedInbox; readonly bytes: Uint8Array<SharedArrayBuffer> } {
  const memory = portsMemory(SIZE);
  if (memory === null) throw new Error('expected threads to share memory');
  return { own: new SharedInbox(memory, SIZE, 1), bytes: new Uint8Array(memory) };
}

function taken(own: SharedInbox): number[][] {
  const frames: number[][] = [];
  own.drain((frame) => void frames.push([...frame]));
  return frames;
}

describe('a ring', () => {
  it('gives_whole_frames_in_order_around_its_end_and_refuses_what_has_no_room', () => {
    const step = fc.oneof(
      fc.constant(null),
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 0, max: ringBytes(SIZE) + 20 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { own } = inbox();
        const expected: number[][] = [];
        let room = ringBytes(SIZE);
        for (const [i, length] of steps.entries()) {
          if (length === null) {
            expect(taken(own)).toEqual(expected.splice(0));
            room = ringBytes(SIZE);
            continue;
          }
          const frame = Uint8Array.from({ length }, (_, at) => 31 * i + at);
          const hasRoom = 8 + 8 * Math.ceil(length / 8) <= room;
          expect(own.write(0, frame)).toBe(hasRoom);
          if (hasRoom) {
            room -= 8 + 8 * Math.ceil(length / 8);
            expected.push([...frame]);
          }
        }
        expect(taken(own)).toEqual(expected);
      }),
      { seed: 2, numRuns: 50 },
    );
  });

  it('is_one_for_each_writer', () => {
    const { own } = inbox();
    own.write(2, Uint8Array.of(2));
    own.write(0, Uint8Array.of(0));
    own.write(2, Uint8Array.of(3));
    expect(taken(own)).toEqual([[0], [2], [3]]);
  });

  it('goes_on_when_positions_begin_anew', () => {
    const { own, bytes } = inbox();
    // All positions alike: all rings are empty, and nearly at the end of what positions can count.
    new Int32Array(bytes.buffer).fill(-3 * ringBytes(SIZE));
    const frame = new Uint8Array(ringBytes(SIZE) - 8).fill(7);
    for (let i = 0; i < 12; i++) {
      expect(own.write(0, frame)).toBe(true);
      expect(own.write(0, frame)).toBe(false);
      expect(taken(own)).toEqual([[...frame]]);
    }
  });

  it('shows_nothing_of_a_frame_whose_writer_has_ended_in_the_middle', () => {
    const { own, bytes } = inbox();
    own.write(0, Uint8Array.of(1, 2, 3));
    const at = bytes.findIndex((_, i) => bytes[i] === 1 && bytes[i + 1] === 2 && bytes[i + 2] === 3);
    // The length and some bytes of the next one, whose position was never written.
    bytes.set([200, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9], at + 8);
    expect(taken(own)).toEqual([[1, 2, 3]]);
    expect(taken(own)).toEqual([]);
  });

  it.each([
    ['longer than what was written', [17, 0, 0, 0]],
    ['longer than the ring', [0, 0, 0, 64]],
    ['negative', [255, 255, 255, 255]],
  ])('drops_what_is_in_it_where_a_length_is_%s_and_goes_on', (_, length) => {
    const { own, bytes } = inbox();
    own.write(0, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    const at = bytes.findIndex((__, i) => [1, 2, 3, 4].every((value, j) => bytes[i + j] === value));
    bytes.set(length, at - 8);
    expect(taken(own)).toEqual([[]]);
    own.write(0, Uint8Array.of(5));
    expect(taken(own)).toEqual([[5]]);
  });
});

describe('an owner', () => {
  it('that_sleeps_is_woken_up_once', () => {
    const { own } = inbox();
    expect(own.mustWake()).toBe(false);
    own.sleep();
    expect([own.mustWake(), own.mustWake()]).toEqual([true, false]);
    own.sleep();
    own.awake();
    expect(own.mustWake()).toBe(false);
  });
});

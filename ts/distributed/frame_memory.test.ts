import { describe, expect, it } from 'vitest';
import { FrameMemory } from './frame_memory.ts';

const LONG = 100_000;

/** Of how many different buffers the memory for some frames is. */
function buffersOf(frames: readonly Uint8Array[]): number {
  return new Set(frames.map(({ buffer }) => buffer)).size;
}

function endOfTick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

describe('memory for frames', () => {
  it.each([10, LONG])('of_%d_bytes_is_new_each_time_where_the_transport_keeps_them', async (length) => {
    const memory = new FrameMemory(undefined, LONG);
    const first = memory.take(length);
    await endOfTick();
    expect(buffersOf([first, memory.take(length)])).toBe(2);
  });

  it.each([10, LONG])('of_%d_bytes_is_the_same_where_it_copies_at_once', (length) => {
    const memory = new FrameMemory('at once', LONG);
    const frames = [memory.take(length), memory.take(length)];
    expect(frames.map((frame) => frame.length)).toEqual([length, length]);
    expect(buffersOf(frames)).toBe(1);
  });

  it('is_the_same_in_the_next_tick_where_it_copies_soon', async () => {
    const memory = new FrameMemory('soon', LONG);
    const first = Array.from({ length: 3 }, () => memory.take(LONG));
    await Promise.resolve();
    first.push(memory.take(LONG - 1));
    expect(buffersOf(first)).toBe(4);
    await endOfTick();
    const second = Array.from({ length: 5 }, () => memory.take(LONG));
    expect(buffersOf(second)).toBe(5);
    expect(buffersOf([...first, ...second])).toBe(5);
  });

  it('is_not_kept_without_limit', async () => {
    const memory = new FrameMemory('soon', LONG);
    const first = Array.from({ length: 20 }, () => memory.take(LONG));
    await endOfTick();
    const second = Array.from({ length: 20 }, () => memory.take(LONG));
    expect(buffersOf([...first, ...second])).toBe(32);
  });
});

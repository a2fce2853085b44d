import { afterEach, describe, expect, it, vi } from 'vitest';
import type { CommandMessage, Part } from './worker_protocol.ts';
import { SharedSlot } from './worker_slot.ts';

function newSlot(): SharedSlot {
  const slot = SharedSlot.create();
  if (slot === null) throw new Error('threads may share memory in Node');
  return slot;
}

function message(text: string, ...parts: Part[]): CommandMessage {
  return { lines: text, parts };
}

afterEach(() => vi.restoreAllMocks());

describe('a slot', () => {
  it('carries text and arrays of either type, whatever their length', () => {
    const slot = newSlot();
    const given = message('["fill"]', Uint8Array.of(1, 2, 3), Float32Array.of(0.5, -0), new Uint8Array(0));
    expect(slot.put(given)).toBe(true);
    slot.announce();
    expect(slot.take(1)).toEqual(given);
  });

  it('holds one message, by its number', () => {
    const slot = newSlot();
    slot.announce();
    expect(slot.put(message('second'))).toBe(true);
    expect(slot.put(message('third'))).toBe(false);
    expect(slot.take(1)).toBeNull();
    expect(slot.take(2)?.lines).toBe('second');
    expect(slot.take(2)).toBeNull();
    expect(slot.put(message('third'))).toBe(true);
  });

  it.each([
    ['bytes', [new Uint8Array(128 * 1024 - 8)], true],
    ['more bytes', [new Uint8Array(128 * 1024 - 4)], false],
    ['arrays', Array.from({ length: 16 }, () => new Uint8Array(1)), true],
    ['more arrays', Array.from({ length: 17 }, () => new Uint8Array(1)), false],
  ] as const)('has room for so many %s: %#', (_, parts, fits) => {
    expect(newSlot().put(message('12345678', ...parts))).toBe(fits);
  });

  it('lets a sleeper sleep on when it is woken for a message that it has taken already', () => {
    const slot = newSlot();
    slot.announce();
    const wait = vi.spyOn(Atomics, 'wait').mockImplementation(() => {
      // The first wake-up is a late one, for message 1; only the second brings a message.
      if (wait.mock.calls.length === 2) slot.announce();
      return 'ok';
    });
    slot.waitForMore(1);
    expect(wait).toHaveBeenCalledTimes(2);
  });
});

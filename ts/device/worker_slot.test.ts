import { afterEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import type { CommandMessage, Part } from './worker_protocol.ts';
import { SharedSlot } from './worker_slot.ts';

function newSlot(): SharedSlot {
  const slot = SharedSlot.create();
  if (slot === null) throw new Error('threads may share memory in Node');
  return slot;
}

function message(word: number, ...parts: Part[]): CommandMessage {
  return { words: Float64Array.of(word), parts };
}

afterEach(() => vi.restoreAllMocks());

describe('a slot', () => {
  it('carries words and arrays of either type, whatever their length', () => {
    const slot = newSlot();
    const given = message(-0, Uint8Array.of(1, 2, 3), Float32Array.of(0.5, -0), new Uint8Array(0));
    expect(slot.put(given)).toBe(true);
    slot.announce();
    expect(slot.take()).toEqual(given);
  });

  it.each([
    ['the first', 0],
    ['the largest', 2 ** 31 - 2],
    ['one that has run over', 2 ** 31 - 1],
    ['0', -1],
  ])('holds one message, by its number: %s', (_, before) => {
    const slot = slotAfter(before);
    slot.announce();
    expect(slot.put(message(2))).toBe(true);
    slot.announce();
    expect(slot.put(message(3))).toBe(false);
    slot.announce();
    // The first and the third were posted. Neither has arrived.
    expect(slot.take()).toBeNull();
    slot.skip();
    expect(slot.take()?.words[0]).toBe(2);
    expect(slot.take()).toBeNull();
    slot.skip();
    expect(slot.put(message(4))).toBe(true);
    expect(slot.take()?.words[0]).toBe(4);
  });

  it.each([
    ['bytes', [new Uint8Array(8 * 1024 - 8)], true],
    ['more bytes', [new Uint8Array(8 * 1024 - 7)], false],
    ['arrays', Array.from({ length: 16 }, () => new Uint8Array(1)), true],
    ['more arrays', Array.from({ length: 17 }, () => new Uint8Array(1)), false],
  ] as const)('has room for so many %s: %#', (_, parts, fits) => {
    expect(newSlot().put(message(1, ...parts))).toBe(fits);
  });

  it('lets a sleeper sleep on when it is woken for a message that it has taken already', () => {
    const slot = newSlot();
    slot.announce();
    slot.skip();
    // The first wake-up is a late one, for message 1; only the second brings a message.
    const wait = onWaking([() => undefined, () => slot.announce()]);
    slot.waitForMore();
    expect(wait).toHaveBeenCalledTimes(2);
  });

  it('lets a sleeper sleep when a posted message has arrived before it was counted', () => {
    const slot = newSlot();
    slot.skip();
    const wait = onWaking([() => slot.announce(), () => slot.announce()]);
    slot.waitForMore();
    expect(wait).toHaveBeenCalledTimes(2);
  });
});

/** Lets a sleeper wake at once, each time after something else has happened. */
function onWaking(happenings: readonly (() => void)[]): MockInstance<typeof Atomics.wait> {
  const wait = vi.spyOn(Atomics, 'wait').mockImplementation(() => {
    const happen = happenings[wait.mock.calls.length - 1];
    if (happen === undefined) throw new Error('expected nobody to sleep any more');
    happen();
    return 'ok';
  });
  return wait;
}

/** A slot through which so many messages have gone, modulo 2^32. */
function slotAfter(messages: number): SharedSlot {
  const { memory } = newSlot();
  // As if it had been announced so often, which would take minutes.
  new Int32Array(memory)[0] = messages;
  return new SharedSlot(memory);
}

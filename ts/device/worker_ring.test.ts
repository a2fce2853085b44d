import { afterEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { inEveryOrder } from '../../tests/support/interleaving.ts';
import { randomUniform } from '../../tests/support/random.ts';
import type { CommandMessage, Part } from './worker_protocol.ts';
import { SharedRing } from './worker_ring.ts';

/** Both sides of a ring. */
interface Sides {
  readonly giver: SharedRing;
  readonly taker: SharedRing;
}

function newRing(): Sides {
  const giver = SharedRing.create();
  if (giver === null) throw new Error('threads may share memory in Node');
  return { giver, taker: new SharedRing(giver.memory) };
}

function message(word: number, ...parts: Part[]): CommandMessage {
  return { words: Float64Array.of(word), parts };
}

/** A message of so many words in the ring, with what comes before them. */
function messageOf(words: number, first = 0): CommandMessage {
  return { words: Float64Array.from({ length: words - 3 }, (_, i) => first + i), parts: [] };
}

function give(giver: SharedRing, given: CommandMessage): boolean {
  const isPut = giver.put(given);
  giver.announce(false);
  return isPut;
}

afterEach(() => vi.restoreAllMocks());

describe('a ring', () => {
  it('carries words and arrays of either type, whatever their length', () => {
    const { giver, taker } = newRing();
    const given = message(-0, Uint8Array.of(1, 2, 3), Float32Array.of(0.5, -0), new Uint8Array(0));
    expect(give(giver, given)).toBe(true);
    expect(taker.take()).toEqual(given);
  });

  it.each([
    ['the first', 0],
    ['the largest', 2 ** 31 - 2],
    ['one that has run over', 2 ** 31 - 1],
    ['0', -1],
  ])('holds messages by their numbers, among others that are posted: %s', (_, before) => {
    const { giver, taker } = ringAfter(before);
    giver.announce(false);
    expect(give(giver, message(2))).toBe(true);
    giver.announce(false);
    expect(give(giver, message(4))).toBe(true);
    // The first and the third were posted. Neither has arrived.
    expect(taker.take()).toBeNull();
    taker.skip();
    expect(taker.take()?.words[0]).toBe(2);
    expect(taker.take()).toBeNull();
    taker.skip();
    expect(taker.take()?.words[0]).toBe(4);
    expect(taker.take()).toBeNull();
  });

  it('is empty when all has been taken, whatever lay there a lap ago', () => {
    const sides = newRing();
    // Numbers 1, 3, 5 … are in the ring; each word looks like the number that comes after all of them.
    for (let number = 1; number < 99; number += 2) {
      give(sides.giver, { words: new Float64Array(1 + below(700, number)).fill(99), parts: [] });
      expect(sides.taker.take()?.words[0]).toBe(99);
      giveBack(sides);
      expect(sides.taker.take()).toBeNull();
    }
  });

  it.each([
    ['words', message(1).parts, 1020, true],
    ['words', message(1).parts, 1022, false],
    ['bytes', [new Uint8Array(8 * 1000)], 20, true],
    ['bytes', [new Uint8Array(8 * 1000 + 1)], 20, false],
    ['arrays', Array.from({ length: 500 }, () => new Uint8Array(1)), 21, true],
    ['arrays', Array.from({ length: 501 }, () => new Uint8Array(1)), 21, false],
  ] as const)('has room for so many %s in a message: %#', (_, parts, words, fits) => {
    expect(newRing().giver.put({ words: new Float64Array(words), parts })).toBe(fits);
  });

  it('is full until what was taken has been run', () => {
    const sides = newRing();
    for (let i = 0; i < 8; i++) expect(give(sides.giver, messageOf(1024, i))).toBe(true);
    expect(sides.giver.put(messageOf(4))).toBe(false);
    expect(sides.taker.take()?.words[0]).toBe(0);
    expect(sides.giver.put(messageOf(4))).toBe(false);
    sides.taker.waitForMore();
    expect(give(sides.giver, messageOf(1024, 8))).toBe(true);
    for (let i = 1; i <= 8; i++) expect(sides.taker.take()?.words[0]).toBe(i);
  });

  it('keeps messages apart and in order, whatever their lengths, over many laps', () => {
    const { giver, taker } = newRing();
    const waiting: CommandMessage[] = [];
    for (let i = 0; i < 500; i++) {
      const given = messageOf(4 + below(700, i), 1000 * i);
      while (!giver.put(given)) {
        expect(textOf(taker.take())).toBe(textOf(waiting.shift()));
        taker.waitForMore();
      }
      giver.announce(false);
      waiting.push(given);
    }
    for (const given of waiting) expect(textOf(taker.take())).toBe(textOf(given));
  });
});

describe('a sleeper', () => {
  it('hears of every message, whatever the two sides do in which order', () => {
    const sleeps = inEveryOrder(() => {
      const { giver, taker } = newRing();
      const steps = [() => void give(giver, message(7)), () => giver.wake()];
      return { sleeper: () => taker.waitForMore(), steps, end: () => expect(taker.take()?.words[0]).toBe(7) };
    });
    expect(sleeps).toBeGreaterThan(0);
  });

  it('is not disturbed for what is not urgent, and nobody who is awake is woken', () => {
    const { giver, taker } = newRing();
    const notify = vi.spyOn(Atomics, 'notify');
    give(giver, message(1));
    giver.wake();
    taker.take();
    const wait = onWaking([() => void give(giver, message(2))]);
    taker.waitForMore();
    expect(wait).toHaveBeenCalledTimes(1);
    giver.wake();
    expect(notify).not.toHaveBeenCalled();
  });

  it('knows whether the calling thread is busy: from a message that nobody awaits until it rests, or awaits one', () => {
    const { giver, taker } = newRing();
    const isBusy = [taker.isCallerBusy];
    for (const step of [
      () => giver.announce(false),
      () => giver.rest(),
      () => giver.announce(false),
      () => giver.announce(true),
    ]) {
      step();
      isBusy.push(taker.isCallerBusy);
    }
    expect(isBusy).toEqual([false, true, false, true, false]);
  });

  it('sleeps on when it is woken for a message that it has taken already', () => {
    const { giver, taker } = newRing();
    giver.announce(false);
    taker.skip();
    // The first wake-up is a late one, for message 1; only the second brings a message.
    const wait = onWaking([() => undefined, () => giver.announce(false)]);
    taker.waitForMore();
    expect(wait).toHaveBeenCalledTimes(2);
  });

  it('sleeps when a posted message has arrived before it was counted', () => {
    const { giver, taker } = newRing();
    taker.skip();
    const wait = onWaking([() => giver.announce(false), () => giver.announce(false)]);
    taker.waitForMore();
    expect(wait).toHaveBeenCalledTimes(2);
  });
});

/** Lets the taker give back the room of what it has taken, which it does before it sleeps. It wakes for a message that is posted. */
function giveBack({ giver, taker }: Sides): void {
  onWaking([() => giver.announce(false)]);
  taker.waitForMore();
  taker.skip();
  vi.restoreAllMocks();
}

function textOf(given: Pick<CommandMessage, 'words'> | null | undefined): string | undefined {
  return given?.words.join();
}

function below(limit: number, index: number): number {
  return Math.floor(limit * randomUniform(3, index));
}

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

/** A ring through which so many messages have gone, modulo 2^32. */
function ringAfter(messages: number): Sides {
  const { giver } = newRing();
  // As if it had been announced so often, which would take minutes.
  new Int32Array(giver.memory)[0] = messages;
  return { giver, taker: new SharedRing(giver.memory) };
}

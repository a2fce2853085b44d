import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { inEveryOrder } from '../../tests/support/interleaving.ts';
import { breakGroup, createGroupMemory, Exchange, GroupBrokenError } from './worker_exchange.ts';

let memory: Uint8Array<SharedArrayBuffer>;
let members: readonly Exchange[];

beforeEach(() => {
  memory = createGroupMemory(3, 100);
  members = [0, 1, 2].map((rank) => new Exchange(memory, rank, 3, 100));
});
afterEach(() => vi.restoreAllMocks());

/** Every member posts a partial of its own, of another length. */
function postAll(number: number): void {
  members.forEach((member, rank) => member.post(new Uint8Array(rank + 1).fill(10 * number + rank)));
}

describe('an exchange', () => {
  it('gives all partials to every member, end to end, in order of members', () => {
    postAll(1);
    for (const member of members) expect([...member.take()]).toEqual([10, 11, 11, 12, 12, 12]);
  });

  it.each([
    ['small', 100, 8],
    ['large', 2 ** 21, 1],
  ])('of %s partials keeps what the slowest member has not taken while the others run ahead', (_, slotBytes, most) => {
    const large = createGroupMemory(3, slotBytes);
    const [slow, ...fast] = [0, 1, 2].map((rank) => new Exchange(large, rank, 3, slotBytes));
    expect(slow?.mostWaiting).toBe(most);
    for (let i = 0; i < most; i++) slow?.post(Uint8Array.of(i));
    for (let i = 0; i < most; i++) fast.forEach((member) => member.post(Uint8Array.of(10 + i)));
    for (let i = 0; i < most; i++) fast.forEach((member) => member.take());
    for (let i = 0; i < most; i++) fast.forEach((member) => member.post(Uint8Array.of(20 + i)));
    for (let i = 0; i < most; i++) expect([...(slow?.take() ?? [])]).toEqual([i, 10 + i, 10 + i]);
  });

  it('takes a partial as long as was agreed', () => {
    const partial = Uint8Array.from({ length: 100 }, (_, i) => i);
    members.forEach((member) => member.post(partial));
    expect(members[0]?.take()).toEqual(Uint8Array.of(...partial, ...partial, ...partial));
  });

  it('refuses a partial that is longer than a slot, whose end would lie in the slot after it', () => {
    members.forEach((member) => member.post(Uint8Array.of(1)));
    expect(() => members[0]?.post(new Uint8Array(1000))).toThrow(RangeError);
    expect(members[1]?.take()).toEqual(Uint8Array.of(1, 1, 1));
  });

  it('tells whether all have posted', () => {
    const [first, second, third] = members;
    first?.post(Uint8Array.of(1));
    second?.post(Uint8Array.of(1));
    expect(first?.isThere).toBe(false);
    third?.post(Uint8Array.of(1));
    expect(first?.isThere).toBe(true);
    first?.take();
    expect([first?.isThere, second?.isThere]).toEqual([false, true]);
  });

  it('sleeps until somebody posts', () => {
    const [first, ...others] = members;
    first?.post(Uint8Array.of(1));
    const wait = vi.spyOn(Atomics, 'wait').mockImplementation(() => {
      others[wait.mock.calls.length - 1]?.post(Uint8Array.of(1));
      return 'ok';
    });
    expect(first?.take().length).toBe(3);
    expect(wait).toHaveBeenCalledTimes(2);
  });
});

describe('a member that sleeps', () => {
  const start = (step: (memory: Uint8Array<SharedArrayBuffer>, other: Exchange) => void) => {
    const memory = createGroupMemory(2, 100);
    const [own, other] = [new Exchange(memory, 0, 2, 100), new Exchange(memory, 1, 2, 100)];
    // It has slept before, so that it does not look for long.
    const wait = vi.spyOn(Atomics, 'wait').mockImplementation(() => (other.post(Uint8Array.of(0)), 'ok'));
    own.post(Uint8Array.of(0));
    own.take();
    wait.mockRestore();
    own.post(Uint8Array.of(1));
    return { own, steps: [() => step(memory, other)] };
  };

  it('is woken by a partial, whenever that comes', () => {
    const sleeps = inEveryOrder(() => {
      const { own, steps } = start((_, other) => other.post(Uint8Array.of(2)));
      let taken = '';
      const sleeper = () => void (taken = own.take().join());
      return { sleeper, steps, end: () => expect(taken).toBe('1,2') };
    });
    expect(sleeps).toBeGreaterThan(0);
  });

  it('is woken by the end of the group, whenever that comes', () => {
    const sleeps = inEveryOrder(() => {
      const { own, steps } = start((memory) => breakGroup(memory));
      const sleeper = () => expect(() => own.take()).toThrow(GroupBrokenError);
      return { sleeper, steps, end: () => undefined };
    });
    expect(sleeps).toBeGreaterThan(0);
  });

  it('is the only reason to wake anybody', () => {
    const notify = vi.spyOn(Atomics, 'notify');
    postAll(1);
    members.forEach((member) => member.take());
    expect(notify).not.toHaveBeenCalled();
  });

  /** How often a member looks in so many waits in turn, in each of which it sleeps. */
  function looksOf(waits: number, isCoreFree: (wait: number) => boolean): number[] {
    const other = new Exchange(memory, 1, 2, 100);
    let i = 0;
    const own = new Exchange(memory, 0, 2, 100, () => isCoreFree(i));
    vi.spyOn(Atomics, 'wait').mockImplementation(() => {
      other.post(Uint8Array.of(1));
      return 'ok';
    });
    const load = vi.spyOn(Atomics, 'load');
    const looks: number[] = [];
    for (; i < waits; i++) {
      own.post(Uint8Array.of(1));
      load.mockClear();
      own.take();
      looks.push(load.mock.calls.length);
    }
    return looks;
  }

  it('looks long before it sleeps, but shortly when it has slept in spite of that, for a while', () => {
    const looks = looksOf(18, () => true);
    expect(looks.map((few) => few > 10_000)).toEqual([true, ...Array<boolean>(16).fill(false), true]);
  });

  it('looks shortly as long as no core is free for that', () => {
    const looks = looksOf(3, (wait) => wait === 2);
    expect(looks.map((few) => few > 10_000)).toEqual([false, false, true]);
  });
});

describe('a group that is over', () => {
  it('wakes those who wait, and takes nothing more', () => {
    const [first] = members;
    first?.post(Uint8Array.of(1));
    const header = new Int32Array(memory.buffer);
    const wait = vi.spyOn(Atomics, 'wait').mockImplementation((_, place, value) => {
      breakGroup(memory);
      // A real sleeper sleeps as long as the word is what it has read.
      return header[place] === Number(value) ? 'timed-out' : 'ok';
    });
    expect(() => first?.take()).toThrow(GroupBrokenError);
    expect(wait).toHaveReturnedWith('ok');
    expect(() => first?.post(Uint8Array.of(1))).toThrow(GroupBrokenError);
  });

  it('still gives what all have posted', () => {
    postAll(1);
    breakGroup(memory);
    expect(members[0]?.take().length).toBe(6);
  });

  it('is over for a member that has left, and for no other', () => {
    const [first, second] = members;
    postAll(1);
    first?.leave();
    expect(() => first?.post(Uint8Array.of(1))).toThrow(GroupBrokenError);
    expect(() => second?.post(Uint8Array.of(1))).not.toThrow();
  });
});

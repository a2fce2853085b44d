import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DeviceBuffer, GroupForwardArguments } from './device.ts';
import { Exchange, GroupBrokenError } from './worker_exchange.ts';
import { type GroupCommand, type Member, WorkerGroup } from './worker_group.ts';

type Memory = Uint8Array<SharedArrayBuffer>;

/** A member whose worker does everything at once, but for what it is told to keep for later. */
class FakeMember implements Member {
  readonly lost = null;
  readonly joined = new Map<number, Memory>();
  readonly forgotten: number[] = [];
  /** Who waits for the worker to have left. */
  readonly leaving: (() => void)[] = [];
  isBusy = false;

  give(_group: WorkerGroup, command: GroupCommand): void {
    if (command.operation === 'join') {
      this.joined.set(command.group, command.memory);
    }
  }

  async leave(number: number): Promise<void> {
    if (this.isBusy) {
      await new Promise<void>((resolve) => this.leaving.push(resolve));
    }
    this.joined.delete(number);
  }

  forget(number: number): void {
    this.joined.delete(number);
    this.forgotten.push(number);
  }

  async whenDone(): Promise<void> {
    // Everything is done.
  }
}

/** What a group reserves for a partial, at least. */
const SLOT_BYTES = 256 * 1024;

let bytesReserved = 0;

beforeEach(() => {
  bytesReserved = 0;
  class Counted extends SharedArrayBuffer {
    constructor(length: number) {
      super(length);
      bytesReserved += length;
    }
  }
  vi.stubGlobal('SharedArrayBuffer', Counted);
});
afterEach(() => vi.unstubAllGlobals());

const workers = Array.from({ length: 8 }, () => new FakeMember());

/** A batch of `channels` whose values are rows, so that the partials of all channels are as long as their number asks for. */
function share(channels: number): GroupForwardArguments {
  const buffer = {} as DeviceBuffer;
  const layout = { samples: 2, channels, length: 1, format: 'contiguous' } as const;
  return {
    ...{ x: buffer, y: buffer, statistics: buffer, layout, numerics: 'stable', eps: 1, weight: null, bias: null },
    ...{ epsMode: 'plus', firstSample: 0 },
  };
}

function run(members: readonly FakeMember[], channels = 1): WorkerGroup {
  const group = WorkerGroup.of(members);
  group.batchNorm(members.map(() => share(channels)));
  return group;
}

/** Every order of `count` of the items. */
function* orders<T>(items: readonly T[], count: number): Generator<readonly T[]> {
  if (count === 0) {
    yield [];
    return;
  }
  for (const item of items) {
    for (const rest of orders(
      items.filter((other) => other !== item),
      count - 1,
    )) {
      yield [item, ...rest];
    }
  }
}

describe('groups of workers', () => {
  it('in all orders of 4 of 8 reserve no more than a few', async () => {
    run(workers.slice(0, 4));
    const one = bytesReserved;
    let count = 0;
    for (const members of orders(workers, 4)) {
      await run(members).confirm();
      count += 1;
    }
    expect(count).toBe(1680);
    expect(one).toBeGreaterThan(0);
    expect(bytesReserved).toBeLessThanOrEqual(8 * one);
    for (const { joined } of workers) expect(joined.size).toBeLessThanOrEqual(4);
  });

  it('are the same as long as they are used, and anew when others have taken their memory', async () => {
    const members = workers.slice(0, 2);
    const group = run(members);
    expect(run(members)).toBe(group);
    for (const others of orders(workers.slice(2, 5), 2)) run(others);
    expect(WorkerGroup.of(members)).not.toBe(group);
    group.batchNorm(members.map(() => share(1)));
    expect(WorkerGroup.of(members)).toBe(group);
    await group.confirm();
  });

  it('give up memory that is too small', async () => {
    const members = workers.slice(0, 2);
    const group = run(members);
    for (let channels = 1; channels <= 2 ** 14; channels *= 4) {
      expect(run(members, channels)).toBe(group);
      await group.confirm();
    }
    for (const member of members) expect(member.joined.size).toBeLessThanOrEqual(4);
  });

  it('reserve for partials of a wide layer no more than they need', () => {
    const members = workers.slice(0, 2);
    const channels = 2 ** 16;
    run(members, channels);
    // Statistics of leaves that are cut at both ends, of which two are there at one time for each member.
    const partialBytes = channels * (62 * 4 + 4 * 16);
    expect(bytesReserved).toBeLessThan(2 * 2 * 2 * partialBytes + 2 ** 20);
  });

  it('do not get memory that a member still looks at', async () => {
    const [slow, other, ...others] = Array.from({ length: 8 }, () => new FakeMember());
    if (slow === undefined || other === undefined) throw new RangeError('there are eight');
    slow.isBusy = true;
    run([slow, other]);
    const [memory] = slow.joined.values();
    const got: (Memory | undefined)[] = [];
    for (const members of orders(others, 2)) {
      await run(members).confirm();
      got.push(...(members[0]?.joined.values() ?? []));
    }
    expect(slow.leaving.length).toBe(1);
    expect(got.map((other) => other?.buffer)).not.toContain(memory?.buffer);
  });

  it('that end wake members that wait in memory the group has given up', async () => {
    const [slow, other, ...others] = Array.from({ length: 8 }, () => new FakeMember());
    if (slow === undefined || other === undefined) throw new RangeError('there are eight');
    slow.isBusy = true;
    const group = run([slow, other]);
    const [[number, memory] = []] = slow.joined;
    for (const members of orders(others, 2)) await run(members).confirm();
    group.end(new Error('a member has failed'));
    expect(slow.forgotten).toEqual([number]);
    expect(memory && (() => new Exchange(memory, 0, 2, SLOT_BYTES).post(new Uint8Array(1)))).toThrow(GroupBrokenError);
  });

  it('find the memory of others as if it were new', () => {
    const [first, second, ...others] = workers;
    if (first === undefined || second === undefined) throw new RangeError('there are eight');
    for (const members of orders(others, 2)) {
      run(members);
      const [[, memory] = []] = [...(members[0]?.joined ?? [])].slice(-1);
      const exchanges = [0, 1].map((rank) => memory && new Exchange(memory, rank, 2, SLOT_BYTES));
      expect(exchanges[0]?.isThere).toBe(false);
      exchanges.forEach((exchange, rank) => exchange?.post(Uint8Array.of(rank)));
      expect(exchanges.map((exchange) => [...(exchange?.take() ?? [])])).toEqual([
        [0, 1],
        [0, 1],
      ]);
    }
  });
});

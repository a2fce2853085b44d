import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { ReplicaError, SyncDeadlockError, SyncTimeoutError } from '../errors.ts';
import { CROSSING_DELAY_MS, MeetingPoint } from './meeting_point.ts';
import type { MeetingOptions, Outcome } from './session.ts';

const options: MeetingOptions = { timeoutSeconds: 15, onTimeout: 'local' };
const strict: MeetingOptions = { timeoutSeconds: 15, onTimeout: 'error' };

const devicesOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `cpu:${i}`);
const list = (payloads: readonly number[]): number[] => [...payloads];

/** The replica calls the layer and hands in its own number. */
async function call(point: MeetingPoint, replica: number, path = 'bn', how = options): Promise<Outcome<number[]>> {
  return point.attend(replica, path, how).meet(replica, replica, list);
}

function failure(replica: number, cause: unknown): ReplicaError {
  return new ReplicaError(replica, `cpu:${replica}`, null, cause);
}

/** Every order in which the items can come. */
function permutations<T>(items: readonly T[]): T[][] {
  return items.length < 2
    ? [[...items]]
    : items.flatMap((item, i) => permutations(items.filter((_, other) => other !== i)).map((rest) => [item, ...rest]));
}

describe('a round', () => {
  test.each(permutations([0, 1, 2, 3]))(
    'is combined in the order of replicas when %i, %i, %i, %i arrive',
    async (...order) => {
      const point = new MeetingPoint(devicesOf(4));
      const outcomes = await Promise.all(order.map((replica) => call(point, replica)));
      expect(outcomes).toEqual(order.map(() => ({ kind: 'met', value: [0, 1, 2, 3] })));
    },
  );

  it('is combined once, and everybody gets the same object', async () => {
    const point = new MeetingPoint(devicesOf(3));
    const combine = vi.fn(() => ({}));
    const outcomes = await Promise.all(
      [0, 1, 2].map(async (r) => point.attend(r, 'bn', options).meet(r, null, combine)),
    );
    expect(combine).toHaveBeenCalledTimes(1);
    expect(new Set(outcomes.map((outcome) => outcome.kind === 'met' && outcome.value)).size).toBe(1);
  });

  it('may be combined asynchronously', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const combine = (payloads: readonly number[]): Promise<number[]> => Promise.resolve([...payloads]);
    const outcomes = await Promise.all([1, 0].map(async (r) => point.attend(r, 'bn', options).meet(r, r, combine)));
    expect(outcomes).toEqual([
      { kind: 'met', value: [0, 1] },
      { kind: 'met', value: [0, 1] },
    ]);
  });

  it('follows another in the same session', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const run = async (replica: number): Promise<unknown[]> => {
      const session = point.attend(replica, 'bn', options);
      const first = await session.meet(replica, replica, list);
      return [first, await session.meet(replica, 10 + replica, list)];
    };
    const expected = [
      { kind: 'met', value: [0, 1] },
      { kind: 'met', value: [10, 11] },
    ];
    expect(await Promise.all([run(0), run(1)])).toEqual([expected, expected]);
  });

  it('rejects everybody with what combining threw', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const error = new RangeError('too small');
    const combine = (): never => {
      throw error;
    };
    const results = await Promise.allSettled(
      [0, 1].map(async (r) => point.attend(r, 'bn', options).meet(r, r, combine)),
    );
    expect(results).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ]);
  });
});

describe('sessions', () => {
  it('do_not_mix_when_two_layers_are_in_flight', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const calls = [call(point, 0, 'a'), call(point, 1, 'b'), call(point, 0, 'b'), call(point, 1, 'a')];
    expect(await Promise.all(calls)).toEqual(calls.map(() => ({ kind: 'met', value: [0, 1] })));
  });

  it('pair the n-th calls of one layer', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const twice = (replica: number): Promise<Outcome<number[]>>[] =>
      [0, 10].map(async (offset) => point.attend(replica, 'bn', options).meet(replica, replica + offset, list));
    const outcomes = await Promise.all([...twice(0), ...twice(1)]);
    expect(outcomes.map((outcome) => outcome.kind === 'met' && outcome.value)).toEqual([
      [0, 1],
      [10, 11],
      [0, 1],
      [10, 11],
    ]);
  });

  it('are refused to a replica that does not exist', () => {
    expect(() => new MeetingPoint(devicesOf(2)).attend(2, 'bn', options)).toThrow(
      'expected a replica from 0 to 1, got 2',
    );
  });
});

describe('a failed replica', () => {
  it('rejects those who wait, those who come and those between rounds with its own error', async () => {
    const point = new MeetingPoint(devicesOf(4));
    const waiting = call(point, 0);
    const between = point.attend(2, 'bn', options);
    const error = failure(1, new RangeError('broken'));
    point.fail(1, error);
    await expect(waiting).rejects.toBe(error);
    expect(() => between.meet(2, 2, list)).toThrow(error);
    expect(() => point.attend(3, 'bn', options)).toThrow(error);
  });
});

describe('a replica that finishes without the layer', () => {
  it.each(['before', 'after'])('is noticed at once when it finishes %s the others arrive', async (when) => {
    const point = new MeetingPoint(devicesOf(3));
    if (when === 'before') point.finish(1);
    const waiting = [call(point, 0), call(point, 2)];
    if (when === 'after') point.finish(1);
    const errors = (await Promise.allSettled(waiting)).map(
      (result) => result.status === 'rejected' && (result.reason as unknown),
    );
    expect(errors[0]).toBeInstanceOf(SyncDeadlockError);
    expect(errors[1]).toBe(errors[0]);
    expect(errors[0]).toMatchObject({ path: 'bn', call: 0, missingReplicas: [1], missingDevices: ['cpu:1'] });
  });

  it('is noticed when it calls the layer less often', async () => {
    const point = new MeetingPoint(devicesOf(2));
    await Promise.all([call(point, 0), call(point, 1)]);
    const second = call(point, 0);
    point.finish(1);
    await expect(second).rejects.toMatchObject({ name: 'SyncDeadlockError', call: 1, missingReplicas: [1] });
  });

  it('is noticed when it leaves between two rounds', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const sessions = [0, 1].map((r) => point.attend(r, 'bn', options));
    await Promise.all(sessions.map(async (session, r) => session.meet(r, r, list)));
    point.finish(0);
    await expect(sessions[1]?.meet(1, 1, list)).rejects.toBeInstanceOf(SyncDeadlockError);
  });

  it('disturbs nobody when every session was complete', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const both = [call(point, 0), call(point, 1)];
    point.finish(0);
    point.finish(1);
    expect(await Promise.all(both)).toHaveLength(2);
  });
});

describe('replicas that wait for each other in different layers', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  const reasons = async (calls: readonly Promise<unknown>[]): Promise<unknown[]> =>
    (await Promise.allSettled(calls)).map((result) =>
      result.status === 'rejected' ? (result.reason as unknown) : null,
    );

  it('are told who waits where, long before time is up', async () => {
    const point = new MeetingPoint(devicesOf(3));
    const calls = [call(point, 0, 'a'), call(point, 1, 'b'), call(point, 2, 'a')];
    vi.advanceTimersByTime(CROSSING_DELAY_MS);
    expect(vi.getTimerCount()).toBe(0);
    const errors = await reasons(calls);
    expect(errors[0]).toBeInstanceOf(SyncDeadlockError);
    expect(errors[0]).toMatchObject({ path: 'a', call: 0, missingReplicas: [1], missingPaths: [['b']] });
    expect(errors[1]).toMatchObject({ path: 'b', missingReplicas: [0, 2], missingPaths: [['a'], ['a']] });
    expect(errors[2]).toBe(errors[0]);
    expect(String(errors[0])).toContain('replica 1 on device cpu:1 waits in b');
    expect(String(errors[1])).toContain('in the same order');
  });

  it('are told so for ever: whoever comes later is rejected with the same error', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const calls = [call(point, 0, 'a'), call(point, 1, 'b')];
    vi.advanceTimersByTime(CROSSING_DELAY_MS);
    const [error] = await reasons(calls);
    await expect(call(point, 1, 'a')).rejects.toBe(error);
  });

  it('do so in the second call of one layer too', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const calls = [call(point, 0, 'a'), call(point, 0, 'a'), call(point, 1, 'b')];
    vi.advanceTimersByTime(CROSSING_DELAY_MS);
    const errors = await reasons(calls);
    expect(errors.map((error) => (error as SyncDeadlockError).call)).toEqual([0, 1, 0]);
    expect(errors[2]).toMatchObject({ missingPaths: [['a', 'a']] });
  });

  it('are left alone while one of them is still at work', async () => {
    const point = new MeetingPoint(devicesOf(3));
    const calls = [call(point, 0, 'a'), call(point, 1, 'b')];
    vi.advanceTimersByTime(14_999);
    calls.push(call(point, 2, 'a'), call(point, 2, 'b'), call(point, 0, 'b'), call(point, 1, 'a'));
    expect((await Promise.all(calls)).map(({ kind }) => kind)).toEqual(Array(6).fill('met'));
  });

  it('may have other branches on their way, which arrive a little later', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const calls = [call(point, 0, 'a'), call(point, 1, 'b')];
    vi.advanceTimersByTime(CROSSING_DELAY_MS - 1);
    calls.push(call(point, 0, 'b'));
    vi.advanceTimersByTime(CROSSING_DELAY_MS - 1);
    calls.push(call(point, 1, 'a'));
    expect(vi.getTimerCount()).toBe(0);
    expect((await Promise.all(calls)).map(({ kind }) => kind)).toEqual(Array(4).fill('met'));
  });

  it.each(['fails', 'times out'])('need not be watched any more when one %s', async (how) => {
    const point = new MeetingPoint(devicesOf(2));
    const calls = [call(point, 0, 'a', { ...options, timeoutSeconds: 0.5 }), call(point, 1, 'b')];
    if (how === 'fails') point.fail(1, failure(1, new Error('broken')));
    else vi.advanceTimersByTime(CROSSING_DELAY_MS);
    point.finish(0);
    expect(vi.getTimerCount()).toBe(0);
    const errors = await reasons(calls);
    expect(errors.some((error) => error instanceof SyncDeadlockError && error.missingPaths.flat().length > 0)).toBe(
      false,
    );
  });
});

describe('time', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('sends everybody on alone, latecomers too, and never a mixture', async () => {
    const point = new MeetingPoint(devicesOf(3));
    const early = [call(point, 0), call(point, 2)];
    vi.advanceTimersByTime(14_999);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1);
    const late = call(point, 1);
    for (const outcome of await Promise.all([...early, late])) {
      expect(outcome).toMatchObject({
        kind: 'timed_out',
        error: { path: 'bn', missingReplicas: [1], timeoutSeconds: 15 },
      });
    }
  });

  it('rejects everybody, latecomers too, where a time-out is an error', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const early = call(point, 0, 'bn', strict);
    vi.advanceTimersByTime(15_000);
    const late = call(point, 1, 'bn', strict);
    const results = await Promise.allSettled([early, late]);
    const errors = results.map((result) => result.status === 'rejected' && (result.reason as unknown));
    expect(errors[0]).toBeInstanceOf(SyncTimeoutError);
    expect(errors[1]).toBe(errors[0]);
  });

  it('does_not_spoil_later_layers', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const early = call(point, 0, 'first');
    vi.advanceTimersByTime(15_000);
    await Promise.all([early, call(point, 1, 'first')]);
    const later = await Promise.all([call(point, 0, 'second'), call(point, 1, 'second')]);
    expect(later.map(({ kind }) => kind)).toEqual(['met', 'met']);
  });

  it('begins with the first to arrive, anew in each round', async () => {
    const point = new MeetingPoint(devicesOf(2));
    const sessions = [0, 1].map((r) => point.attend(r, 'bn', options));
    vi.advanceTimersByTime(60_000);
    const first = sessions[0]?.meet(0, 0, list);
    vi.advanceTimersByTime(14_999);
    await Promise.all([first, sessions[1]?.meet(1, 1, list)]);
    expect(vi.getTimerCount()).toBe(0);
    const second = sessions[1]?.meet(1, 1, list);
    vi.advanceTimersByTime(14_999);
    expect(await Promise.all([sessions[0]?.meet(0, 0, list), second])).toMatchObject([
      { kind: 'met' },
      { kind: 'met' },
    ]);
  });

  it('stands still once a session has met, failed or been abandoned', async () => {
    const met = new MeetingPoint(devicesOf(2));
    const failed = new MeetingPoint(devicesOf(2));
    const abandoned = new MeetingPoint(devicesOf(2));
    const outcomes = [call(met, 0), call(met, 1), call(failed, 0), call(abandoned, 0)];
    failed.fail(1, failure(1, new Error('broken')));
    abandoned.finish(1);
    expect(vi.getTimerCount()).toBe(0);
    await Promise.allSettled(outcomes);
  });

  it.each([
    ['longer than timers can count', 1e9, 1],
    ['for ever', Infinity, 0],
  ])('may be %s without passing at once', async (_, timeoutSeconds, timers) => {
    const point = new MeetingPoint(devicesOf(2));
    const first = call(point, 0, 'bn', { ...options, timeoutSeconds });
    expect(vi.getTimerCount()).toBe(timers);
    vi.advanceTimersByTime(1e6);
    expect(await Promise.all([first, call(point, 1)])).toMatchObject([{ kind: 'met' }, { kind: 'met' }]);
  });
});

/**
 * One call of one layer by all replicas: a sequence of rounds, in each of which everybody hands in a payload and gets the
 * same result. A round is all or none, and a session ends in one way for everybody:
 *
 *   met        every round so far is complete; whoever asks for one more begins it.
 *   timed out  somebody was not there in time: all of them, latecomers too, are told so.
 *   failed     a replica failed, finished without coming or waits elsewhere for ever, or combining failed: all of them are
 *              rejected.
 */

import { SyncDeadlockError, SyncTimeoutError } from '../errors.ts';

export interface MeetingOptions {
  /** How long the first to arrive waits for the last, in seconds; `Infinity` waits for ever. */
  readonly timeoutSeconds: number;
  /** What a time-out means: everybody goes on alone, or everybody fails. */
  readonly onTimeout: 'local' | 'error';
}

/** What a round gives to each replica. */
export type Outcome<Result> = Met<Result> | TimedOut;

/** Everybody was there. */
export interface Met<Result> {
  readonly kind: 'met';
  readonly value: Result;
}

/** Time is up; the error tells who was missing. It is information here, not thrown. */
export interface TimedOut {
  readonly kind: 'timed_out';
  readonly error: SyncTimeoutError;
}

/** What the sessions of one forward pass share. */
export interface ForwardPass {
  /** Of all replicas. */
  readonly devices: readonly string[];
  /** Replicas whose forward has ended; kept up to date by the owner. */
  readonly finished: ReadonlySet<number>;
  /** The sessions that somebody waits in; kept up to date by them. */
  readonly waitedIn: Set<Session>;
  /** Runs whenever somebody has arrived anywhere. */
  readonly onArrival: () => void;
}

interface Waiter {
  readonly payload: unknown;
  readonly resolve: (outcome: Outcome<unknown>) => void;
  readonly reject: (error: unknown) => void;
}

type Combine = (payloads: readonly unknown[]) => unknown;

type Ending = TimedOut | { readonly kind: 'failed'; readonly error: unknown };

/** The longest delay that timers keep: longer ones fire at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

export class Session {
  readonly path: string;
  /** Number of the call within the forward, from 0. */
  readonly call: number;
  private readonly pass: ForwardPass;
  private readonly options: MeetingOptions;
  /** Who waits in the present round, by replica. */
  private waiters = new Map<number, Waiter>();
  private timer: ReturnType<typeof setTimeout> | null = null;
  private ending: Ending | null = null;

  /** @param options - of the replica that comes first; they hold for all. */
  constructor(pass: ForwardPass, path: string, call: number, options: MeetingOptions) {
    this.pass = pass;
    this.path = path;
    this.call = call;
    this.options = options;
  }

  /** The replicas that wait in the present round. */
  get waiting(): readonly number[] {
    return [...this.waiters.keys()];
  }

  /**
   * Hands in a payload and waits for everybody's.
   *
   * @param combine - runs once, by the last to arrive, with the payloads in the order of replicas. All replicas pass the
   *   same function in the same round.
   * @returns what `combine` returned, the same object for everybody, at once for the last to arrive where `combine` does not wait; or that
   * time was up.
   * @throws what `combine` threw, or the reason why the session failed.
   */
  meet<Payload, Result>(
    replica: number,
    payload: Payload,
    combine: (payloads: readonly Payload[]) => Result | Promise<Result>,
  ): Outcome<Result> | Promise<Outcome<Result>> {
    if (this.ending?.kind === 'timed_out') {
      return this.ending;
    }
    if (this.ending?.kind === 'failed') {
      throw this.ending.error;
    }
    if (this.waiters.size + 1 === this.pass.devices.length) {
      // Payloads come from `meet` alone, and all replicas agree on their type.
      return this.complete(replica, payload, combine as Combine) as Outcome<Result> | Promise<Outcome<Result>>;
    }
    const outcome = new Promise<Outcome<unknown>>((resolve, reject) => {
      this.waiters.set(replica, { payload, resolve, reject });
    });
    this.pass.waitedIn.add(this);
    this.startTimer();
    this.rejectIfAbandoned();
    this.pass.onArrival();
    return outcome as Promise<Outcome<Result>>;
  }

  /** Fails the present round, if anybody waits in it, when a replica that is not there has finished. */
  rejectIfAbandoned(): void {
    if (this.waiters.size === 0 || this.pass.finished.size === 0) {
      return;
    }
    const missing = this.missing().filter((replica) => this.pass.finished.has(replica));
    if (missing.length > 0) {
      this.rejectAsDeadlock(missing, () => []);
    }
  }

  /**
   * Fails the session, for the replicas that are not there wait elsewhere.
   * @param pathsOf - the layers that a replica waits in.
   */
  rejectAsCrossed(pathsOf: (replica: number) => readonly string[]): void {
    this.rejectAsDeadlock(this.missing(), pathsOf);
  }

  /** Fails the session for everybody who waits or comes later; one that has ended stays as it is. */
  reject(error: unknown): void {
    if (this.ending === null) {
      this.ending = { kind: 'failed', error };
      this.closeRound().forEach((waiter) => waiter.reject(error));
    }
  }

  private rejectAsDeadlock(missing: readonly number[], pathsOf: (replica: number) => readonly string[]): void {
    this.reject(new SyncDeadlockError(this.path, this.call, missing, this.devicesOf(missing), missing.map(pathsOf)));
  }

  /** Ends a round that everybody has come to. */
  private complete(replica: number, payload: unknown, combine: Combine): Outcome<unknown> | Promise<Outcome<unknown>> {
    const waiters = this.closeRound();
    this.pass.onArrival();
    const settle = (value: unknown): Outcome<unknown> => {
      const met: Met<unknown> = { kind: 'met', value };
      waiters.forEach((waiter) => waiter.resolve(met));
      return met;
    };
    const fail = (error: unknown): never => {
      this.ending ??= { kind: 'failed', error };
      waiters.forEach((waiter) => waiter.reject(error));
      throw error;
    };
    const payloads = this.pass.devices.map((_, r) => (r === replica ? payload : waiters.get(r)?.payload));
    try {
      const value = combine(payloads);
      return value instanceof Promise ? value.then(settle, fail) : settle(value);
    } catch (error) {
      return fail(error);
    }
  }

  private startTimer(): void {
    const milliseconds = this.options.timeoutSeconds * 1000;
    if (this.timer === null && milliseconds !== Infinity) {
      this.timer = setTimeout(() => this.expire(), Math.min(milliseconds, LONGEST_DELAY_MS));
    }
  }

  private expire(): void {
    const missing = this.missing();
    const error = new SyncTimeoutError(this.path, this.options.timeoutSeconds, missing, this.devicesOf(missing));
    if (this.options.onTimeout === 'error') {
      this.reject(error);
      return;
    }
    const ending: TimedOut = { kind: 'timed_out', error };
    this.ending = ending;
    this.closeRound().forEach((waiter) => waiter.resolve(ending));
  }

  /** Ends the present round: its timer is gone, and its waiters are the caller's to settle. */
  private closeRound(): ReadonlyMap<number, Waiter> {
    if (this.timer !== null) {
      clearTimeout(this.timer);
      this.timer = null;
    }
    this.pass.waitedIn.delete(this);
    const { waiters } = this;
    this.waiters = new Map();
    return waiters;
  }

  private missing(): number[] {
    return this.pass.devices.flatMap((_, replica) => (this.waiters.has(replica) ? [] : [replica]));
  }

  private devicesOf(replicas: readonly number[]): string[] {
    return replicas.map((replica) => this.pass.devices[replica] ?? 'unknown');
  }
}

/** Looks after what a rank waits for: asks those it waits for, and finds out when it would wait in vain. */

import { CollectiveMismatchError } from '../index.ts';
import type { Exchange } from './exchange.ts';
import type { Messenger, Report } from './messenger.ts';
import { ConnectionLostError, GroupTimeoutError, PeerLostError } from './process_group_errors.ts';
import { Standstill } from './standstill.ts';
import type { Transport } from './transport.ts';

/** When a rank that waits begins to ask, and again so many times; then it takes twice as long each time, up to a limit. */
const FIRST_PROBE_MS = 6;
const FAST_PROBES = 8;
const PROBE_MS = 250;
/** When it begins to ask whether a rank is there at all. */
const ALIVE_AFTER_MS = 200;
/** How often in a row a rank must be found gone: a connection may be made anew. */
const GONE_TIMES = 3;
/**
 * A timer that comes so late tells that the program has stood still: it was stopped, or its page is hidden. What others have sent meanwhile is
 * read before they are said to be late, for which the second time is enough.
 */
const LATE_TIMER_MS = 1000;
const READ_MS = 100;

/** A message that this rank waits for. */
export interface Wait {
  readonly exchange: Exchange;
  readonly stage: number;
  readonly from: number;
  /** When it began, in milliseconds. */
  readonly since: number;
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/** What is looked after. */
export interface WatchedJob {
  readonly transport: Transport;
  readonly messenger: Messenger;
  readonly timeoutSeconds: number;
  /** All that is waited for. */
  readonly waits: ReadonlySet<Wait>;
  /** Ranks that have left, and need not be asked. */
  readonly left: ReadonlySet<number>;
  /** Fails everything, on all ranks. */
  abort(reason: Error): void;
}

export class Watchdog {
  readonly #job: WatchedJob;
  readonly #standstill = new Standstill();
  readonly #gone = new Map<number, number>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #probes = 0;
  /** When the next probe is due. */
  #due = 0;
  #isReading = false;
  /** Whether something has come since the last probe. */
  #hasProgressed = false;

  constructor(job: WatchedJob) {
    this.#job = job;
  }

  /** A wait has begun. */
  watch(wait: Wait): void {
    if (this.#timer === null || this.#probes > FAST_PROBES) {
      this.#begin(this.#timeLeft(wait));
    }
  }

  /** Something has come that was waited for. */
  progress(): void {
    this.#hasProgressed = true;
    this.#standstill.end();
  }

  /** Another rank has answered. */
  hear(from: number, report: Report): void {
    const isNew = this.#standstill.hear(from, report);
    if (isNew && this.#timer !== null && this.#probes > FAST_PROBES) {
      this.#begin(FIRST_PROBE_MS);
    }
  }

  stop(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
  }

  /** Asks soon and often. */
  #begin(timeLeft: number): void {
    this.stop();
    this.#probes = 0;
    this.#probeIn(Math.min(FIRST_PROBE_MS, timeLeft));
  }

  #timeLeft({ since }: Wait): number {
    return Math.max(0, since + this.#job.timeoutSeconds * 1000 - performance.now());
  }

  #probeIn(delay: number): void {
    this.#due = performance.now() + delay;
    this.#timer = setTimeout(() => this.#probe(), delay);
  }

  #probe(): void {
    this.#timer = null;
    const waits = [...this.#job.waits];
    if (waits.length === 0 || this.#expire(waits)) {
      return;
    }
    const now = performance.now();
    const long = waits.filter(({ since }) => now - since >= ALIVE_AFTER_MS);
    if (this.#hasProgressed && long.length === 0) {
      this.#hasProgressed = false;
      this.#probeIn(FIRST_PROBE_MS);
      return;
    }
    this.#job.messenger.question(long.length > 0 ? this.#present() : new Set(waits.map(({ from }) => from)));
    for (const [from, wait] of new Map(long.map((wait) => [wait.from, wait]))) {
      void this.#checkAlive(from, wait);
    }
    if (!this.#checkStandstill()) {
      this.#probes += 1;
      const delay = Math.min(PROBE_MS, FIRST_PROBE_MS * 2 ** Math.max(0, this.#probes - FAST_PROBES));
      this.#probeIn(Math.max(1, Math.min(delay, ...waits.map((wait) => this.#timeLeft(wait)))));
    }
  }

  /** @returns whether no more is to be asked: the time of a wait is up, or may be, or this rank's connection has ended for good. */
  #expire(waits: readonly Wait[]): boolean {
    const expired = waits.filter((wait) => this.#timeLeft(wait) === 0);
    const [first] = expired;
    const outage = this.#job.transport.outage?.() ?? null;
    const inVain = first ?? (outage?.isFinal === true ? waits[0] : undefined);
    if (inVain === undefined) {
      this.#isReading = false;
      return false;
    }
    const { exchange } = inVain;
    if (outage !== null) {
      this.#job.abort(new ConnectionLostError(exchange.tag, outage.reason));
      return true;
    }
    // Once: timers of a hidden page are late every time.
    if (!this.#isReading && performance.now() - this.#due > LATE_TIMER_MS) {
      this.#isReading = true;
      this.#job.messenger.question(this.#present());
      this.#probeIn(READ_MS);
      return true;
    }
    const ranks = expired.filter((wait) => wait.exchange === exchange).map(({ from }) => from);
    this.#job.abort(new GroupTimeoutError(ranks, exchange.tag, this.#job.timeoutSeconds));
    return true;
  }

  /** The other ranks that have not left. */
  #present(): number[] {
    const { transport, left } = this.#job;
    return Array.from({ length: transport.size }, (_, rank) => rank).filter(
      (rank) => rank !== transport.rank && !left.has(rank),
    );
  }

  async #checkAlive(rank: number, wait: Wait): Promise<void> {
    const { transport, messenger, waits } = this.#job;
    const liveness = await transport.alive(rank).catch(() => 'silent' as const);
    const times = liveness === 'gone' ? (this.#gone.get(rank) ?? 0) + 1 : 0;
    this.#gone.set(rank, times);
    if (times >= GONE_TIMES && waits.has(wait)) {
      messenger.forget(rank);
      this.#job.abort(new PeerLostError(rank, wait.exchange.tag));
    }
  }

  /** @returns whether all ranks wait in vain. */
  #checkStandstill(): boolean {
    const { transport, messenger } = this.#job;
    const crossing = this.#standstill.check(transport.rank, messenger.report(), this.#present());
    if (crossing === null) {
      return false;
    }
    const { rank, own, theirs } = crossing;
    this.#job.abort(new CollectiveMismatchError(rank, own, 'all ranks in it', theirs));
    return true;
  }
}

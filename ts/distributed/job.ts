/**
 * One rank's part in a job: matches what comes from other ranks with what this one waits for, finds out when it would wait in vain, and
 * fails everything at once then.
 *
 * An exchange is named by a path. Exchanges of different paths may be under way at once and begin in another order on each rank. Those of one
 * path are begun in the same order everywhere; as the messages of a rank come in order, they need no number. Paths that end in a number have
 * one exchange each, so that what comes for one that is over, or is something else, is found out at once.
 */

import { CollectiveMismatchError } from '../index.ts';
import { LONGEST_LABEL } from './frame.ts';
import { type FrameCounts, Messenger, type Recipient, type Report } from './messenger.ts';
import {
  ConnectionLostError,
  decodeFailure,
  encodeFailure,
  GroupDestroyedError,
  GroupTimeoutError,
  PeerLostError,
} from './process_group_errors.ts';
import type { Transport } from './transport.ts';

/** When a rank that waits begins to ask, and how often it does after a while; in between it takes twice as long each time. */
const FIRST_PROBE_MS = 20;
const PROBE_MS = 250;
/** When it begins to ask whether a rank is there at all. */
const ALIVE_AFTER_MS = 200;
/** How often in a row a rank must be found gone: a connection may be made anew. */
const GONE_TIMES = 3;
/**
 * How long all ranks must have waited, with nothing on its way, until that is a mismatch. Not at once: a rank whose forward has several
 * branches may wait in one of them while another is still on its way.
 */
const CROSSING_MS = 1000;

/**
 * A timer that comes so late tells that the program has stood still: it was stopped, or its page is hidden. What others have sent meanwhile is
 * read before they are said to be late, for which this time is enough.
 */
const STANDSTILL_MS = 1000;
const READ_MS = 100;

export interface Exchange {
  readonly path: string;
  /** `null`: there may be several of this path. */
  readonly number: number | null;
  /** What is done, with all that must be the same on every rank. */
  readonly descriptor: string;
  /** Names the exchange in errors. */
  readonly tag: string;
}

interface Wait {
  readonly exchange: Exchange;
  readonly stage: number;
  readonly from: number;
  readonly since: number;
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

interface Arrival {
  readonly stage: number;
  readonly from: number;
  readonly descriptor: string;
  readonly bytes: Uint8Array;
}

/** What is known of the exchanges of one name: this rank's part in them, and what has come and is not waited for yet. */
interface Slot {
  active: number;
  exchange: Exchange | null;
  readonly arrivals: Arrival[];
  readonly waits: Wait[];
}

/** What a rank says at the end. */
const LEFT = '["left"]';

export class Job implements Recipient {
  readonly rank: number;
  readonly size: number;
  readonly timeoutSeconds: number;
  /** How many groups were made of this job. */
  groups = 0;
  readonly #transport: Transport;
  readonly #messenger: Messenger;
  readonly #slots = new Map<string, Slot>();
  /** Of paths with numbers, the next one. */
  readonly #numbers = new Map<string, number>();
  readonly #waits = new Set<Wait>();
  readonly #left = new Set<number>();
  readonly #gone = new Map<number, number>();
  readonly #reports = new Map<number, Report & { readonly at: number }>();
  #standstill: { readonly state: string; readonly since: number } | null = null;
  #probing: ReturnType<typeof setTimeout> | null = null;
  #probeDelay = FIRST_PROBE_MS;
  /** When the next probe is due. */
  #probeDue = 0;
  #hasReadAfterStandstill = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(transport: Transport, timeoutSeconds: number) {
    this.rank = transport.rank;
    this.size = transport.size;
    this.timeoutSeconds = timeoutSeconds;
    this.#transport = transport;
    this.#messenger = new Messenger(transport, this);
  }

  get frames(): FrameCounts {
    return this.#messenger.frames;
  }

  get failure(): unknown {
    return this.#failure?.error ?? null;
  }

  /**
   * Begins the next exchange of a path.
   * @param isNumbered - whether each exchange of the path has its own name.
   * @throws why the job has failed; CollectiveMismatchError where others do something else in this exchange.
   */
  begin(path: string, isNumbered: boolean, descriptor: string, tag: string): Exchange {
    if (this.#failure !== null) {
      throw this.#failure.error;
    }
    const number = isNumbered ? (this.#numbers.get(path) ?? 0) : null;
    if (number !== null) {
      this.#numbers.set(path, number + 1);
    }
    const exchange = { path, number, descriptor, tag };
    const slot = this.#slotOf(path, number);
    slot.active += 1;
    slot.exchange = exchange;
    const other = number === null ? undefined : slot.arrivals.find((arrival) => arrival.descriptor !== descriptor);
    if (other !== undefined) {
      throw this.#mismatch(other.from, exchange, other.descriptor);
    }
    return exchange;
  }

  /** The exchange is over for this rank. */
  end(exchange: Exchange): void {
    const { path, number } = exchange;
    const slot = this.#slotOf(path, number);
    slot.active -= 1;
    const [rest] = slot.arrivals;
    if (number !== null && rest !== undefined) {
      throw this.#mismatch(rest.from, exchange, rest.descriptor);
    }
    if (slot.active === 0 && rest === undefined) {
      this.#slots.delete(keyOf(path, number));
    }
  }

  /** @param bytes - must not be changed any more. @param to - ranks; `null`: all others. */
  post({ path, number, descriptor }: Exchange, stage: number, to: readonly number[] | null, bytes: Uint8Array): void {
    const label = JSON.stringify([path, number, stage, descriptor]);
    if (to === null) {
      this.#messenger.post(null, label, bytes);
    } else {
      for (const rank of to) {
        this.#messenger.post(rank, label, bytes);
      }
    }
  }

  /** Waits for what a rank posts. */
  async take(exchange: Exchange, stage: number, from: number): Promise<Uint8Array> {
    if (this.#failure !== null) {
      throw this.#failure.error;
    }
    const slot = this.#slotOf(exchange.path, exchange.number);
    const index = slot.arrivals.findIndex((arrival) => arrival.from === from && arrival.stage === stage);
    const [arrived] = index < 0 ? [] : slot.arrivals.splice(index, 1);
    if (arrived !== undefined) {
      if (arrived.descriptor !== exchange.descriptor) {
        throw this.#mismatch(from, exchange, arrived.descriptor);
      }
      return arrived.bytes;
    }
    if (this.#left.has(from)) {
      throw this.#hasLeft(from, exchange);
    }
    return new Promise((resolve, reject) => {
      const wait = { exchange, stage, from, since: performance.now(), resolve, reject };
      slot.waits.push(wait);
      this.#waits.add(wait);
      if (this.#waits.size === 1) {
        this.#transport.hold?.(true);
      }
      if (this.#probing === null) {
        this.#probeDelay = FIRST_PROBE_MS;
        this.#probeIn(Math.min(FIRST_PROBE_MS, this.#timeLeft(wait)));
      }
    });
  }

  abort(reason: unknown): void {
    if (this.#failure === null) {
      this.#messenger.abort(encodeFailure(reason));
      this.#fail(reason);
    }
  }

  /** Leaves the others: what was sent still reaches them. */
  async leave(): Promise<void> {
    const hasFailed = this.#failure !== null;
    if (!hasFailed) {
      this.#messenger.post(null, LEFT, new Uint8Array());
      this.#fail(new GroupDestroyedError());
    }
    await this.#messenger.close(!hasFailed);
  }

  onMessage(from: number, label: string, bytes: Uint8Array): void {
    if (label === LEFT) {
      this.#leave(from);
      return;
    }
    const parsed = readLabel(label);
    if (parsed === null || this.#failure !== null) {
      return;
    }
    const { path, number, stage, descriptor } = parsed;
    if (number !== null && number < (this.#numbers.get(path) ?? 0) && !this.#slots.has(keyOf(path, number))) {
      const tag = `collective ${number}`;
      this.#mismatch(from, { path, number, descriptor: 'one that is over on this rank', tag }, descriptor);
      return;
    }
    const slot = this.#slotOf(path, number);
    const index = slot.waits.findIndex((wait) => wait.from === from && wait.stage === stage);
    const expected = slot.waits[index]?.exchange ?? (number === null ? null : slot.exchange);
    if (expected !== null && expected.descriptor !== descriptor) {
      this.#mismatch(from, expected, descriptor);
      return;
    }
    const [wait] = index < 0 ? [] : slot.waits.splice(index, 1);
    if (wait === undefined) {
      slot.arrivals.push({ stage, from, descriptor, bytes });
      return;
    }
    this.#waits.delete(wait);
    this.#standstill = null;
    if (this.#waits.size === 0) {
      this.#transport.hold?.(false);
    }
    wait.resolve(bytes);
  }

  onAbort(from: number, reason: Uint8Array): void {
    if (!this.#left.has(from)) {
      this.#fail(decodeFailure(from, reason));
    }
  }

  onReport(from: number, report: Report): void {
    this.#reports.set(from, { ...report, at: performance.now() });
  }

  waits(): readonly string[] {
    return [...new Set(Array.from(this.#waits, ({ exchange }) => exchange.tag))];
  }

  #slotOf(path: string, number: number | null): Slot {
    const key = keyOf(path, number);
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { active: 0, exchange: null, arrivals: [], waits: [] };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #mismatch(from: number, exchange: Exchange, theirs: string): CollectiveMismatchError {
    const error = new CollectiveMismatchError(from, exchange.tag, exchange.descriptor, theirs);
    this.abort(error);
    return error;
  }

  #hasLeft(from: number, { tag }: Exchange): CollectiveMismatchError {
    const error = new CollectiveMismatchError(from, tag, 'every rank in it', 'destroy()');
    this.abort(error);
    return error;
  }

  #leave(rank: number): void {
    this.#left.add(rank);
    this.#messenger.forget(rank);
    const wait = [...this.#waits].find(({ from }) => from === rank);
    if (wait !== undefined) {
      this.#hasLeft(rank, wait.exchange);
    }
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) {
      return;
    }
    this.#failure = { error };
    if (this.#probing !== null) {
      clearTimeout(this.#probing);
      this.#probing = null;
    }
    this.#slots.clear();
    const waits = [...this.#waits];
    this.#waits.clear();
    this.#transport.hold?.(false);
    waits.forEach(({ reject }) => reject(error));
  }

  #timeLeft({ since }: Wait): number {
    return Math.max(0, since + this.timeoutSeconds * 1000 - performance.now());
  }

  #probeIn(delay: number): void {
    this.#probeDue = performance.now() + delay;
    this.#probing = setTimeout(() => this.#probe(), delay);
  }

  /** Asks those that are waited for. */
  #probe(): void {
    this.#probing = null;
    if (this.#waits.size === 0) {
      return;
    }
    const now = performance.now();
    const waits = [...this.#waits];
    const expired = waits.filter((wait) => this.#timeLeft(wait) === 0);
    const [first] = expired;
    const hasStoodStill = now - this.#probeDue > STANDSTILL_MS && !this.#hasReadAfterStandstill;
    this.#hasReadAfterStandstill = hasStoodStill;
    if (first !== undefined && hasStoodStill) {
      this.#messenger.question(this.#present());
      this.#probeIn(READ_MS);
      return;
    }
    const outage = this.#transport.outage?.() ?? null;
    const [some] = waits;
    if (outage !== null && some !== undefined && (outage.isFinal || first !== undefined)) {
      this.abort(new ConnectionLostError((first ?? some).exchange.tag, outage.reason));
      return;
    }
    if (first !== undefined) {
      const { exchange } = first;
      const ranks = expired.filter((wait) => wait.exchange === exchange).map(({ from }) => from);
      this.abort(new GroupTimeoutError(ranks, exchange.tag, this.timeoutSeconds));
      return;
    }
    const olderThan = (age: number): Wait[] => waits.filter(({ since }) => now - since >= age);
    const isLong = olderThan(ALIVE_AFTER_MS).length > 0;
    this.#messenger.question(isLong ? this.#present() : new Set(waits.map(({ from }) => from)));
    for (const [from, wait] of new Map(olderThan(ALIVE_AFTER_MS).map((wait) => [wait.from, wait]))) {
      void this.#checkAlive(from, wait);
    }
    this.#checkCrossing(now);
    if (this.#failure === null) {
      this.#probeDelay = isLong ? PROBE_MS : Math.min(PROBE_MS, 2 * this.#probeDelay);
      const delay = Math.min(this.#probeDelay, ...waits.map((wait) => this.#timeLeft(wait)));
      this.#probeIn(Math.max(1, delay));
    }
  }

  /** The other ranks that have not left. */
  #present(): number[] {
    return Array.from({ length: this.size }, (_, rank) => rank).filter(
      (rank) => rank !== this.rank && !this.#left.has(rank),
    );
  }

  async #checkAlive(rank: number, wait: Wait): Promise<void> {
    const liveness = await this.#transport.alive(rank).catch(() => 'silent' as const);
    const times = liveness === 'gone' ? (this.#gone.get(rank) ?? 0) + 1 : 0;
    this.#gone.set(rank, times);
    if (times >= GONE_TIMES && this.#waits.has(wait)) {
      this.#messenger.forget(rank);
      this.abort(new PeerLostError(rank, wait.exchange.tag));
    }
  }

  /**
   * Whether all ranks wait and nothing is on its way that could end that. Every rank has told what it has sent and received; where all that
   * was sent has come, and stays all that was sent, nobody will go on.
   */
  #checkCrossing(now: number): void {
    const reports = new Map<number, Report>([[this.rank, this.#messenger.report()]]);
    for (const rank of this.#present()) {
      const report = this.#reports.get(rank);
      if (report === undefined || now - report.at > 3 * PROBE_MS || report.waits.length === 0) {
        this.#standstill = null;
        return;
      }
      reports.set(rank, report);
    }
    const state = JSON.stringify(Array.from(reports.values(), ({ waits, sent }) => [waits, sent]));
    if (reports.size === 1 || !isDelivered(reports)) {
      this.#standstill = null;
    } else if (this.#standstill?.state !== state) {
      this.#standstill = { state, since: now };
    } else if (now - this.#standstill.since >= CROSSING_MS) {
      const own = this.waits();
      const others = [...reports].filter(([rank]) => rank !== this.rank);
      const [rank, { waits }] = others.find(([, report]) => report.waits.join() !== own.join()) ??
        others[0] ?? [0, { waits: [] }];
      this.abort(new CollectiveMismatchError(rank, own.join(' and '), 'all ranks in it', waits.join(' and ')));
    }
  }
}

/** Whether all frames have come that were sent between these ranks. */
function isDelivered(reports: ReadonlyMap<number, Report>): boolean {
  return [...reports].every(([from, { sent }]) =>
    [...reports].every(
      ([to, { acknowledged }]) =>
        from === to || (acknowledged[2 * from] === sent[0] && acknowledged[2 * from + 1] === sent[1 + to]),
    ),
  );
}

function keyOf(path: string, number: number | null): string {
  return number === null ? path : `${path} ${number}`;
}

interface Label {
  readonly path: string;
  readonly number: number | null;
  readonly stage: number;
  readonly descriptor: string;
}

function readLabel(label: string): Label | null {
  try {
    const [path, number, stage, descriptor] = JSON.parse(label) as unknown[];
    const isNumber = number === null || typeof number === 'number';
    return typeof path === 'string' && isNumber && typeof stage === 'number' && typeof descriptor === 'string'
      ? { path, number, stage, descriptor }
      : null;
  } catch {
    return null;
  }
}

/** @throws RangeError for a tag that does not fit into a frame. */
export function checkTag(where: string, tag: string): void {
  if (tag.length > LONGEST_LABEL / 8) {
    throw new RangeError(`${where}: expected a tag of at most ${LONGEST_LABEL / 8} characters, got ${tag.length}`);
  }
}

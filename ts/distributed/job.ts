/**
 * One rank's part in a job: its exchanges with other ranks, and how all of them fail at once.
 *
 * An exchange is named by a path. Exchanges of different paths may be under way at once and begin in another order on each rank. Those of one
 * path are begun in the same order everywhere; as the messages of a rank come in order, they need no number. Paths that end in a number have
 * one exchange each, so that what comes for one that is over, or is something else, is found out at once.
 */

import { CollectiveMismatchError, devices } from '../index.ts';
import { decodeLabel, encodeLabel, type Exchange } from './exchange.ts';
import { type FrameCounts, Messenger, type Recipient, type Report } from './messenger.ts';
import { decodeFailure, encodeFailure, GroupDestroyedError } from './process_group_errors.ts';
import { Slots } from './slots.ts';
import type { Transport } from './transport.ts';
import { type Wait, Watchdog } from './watchdog.ts';

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
  readonly #watchdog: Watchdog;
  readonly #slots = new Slots();
  /** Of paths with numbers, the next one. */
  readonly #numbers = new Map<string, number>();
  readonly #waits = new Set<Wait>();
  readonly #left = new Set<number>();
  #failure: { readonly error: unknown } | null = null;

  constructor(transport: Transport, timeoutSeconds: number) {
    this.rank = transport.rank;
    this.size = transport.size;
    this.timeoutSeconds = timeoutSeconds;
    this.#transport = transport;
    this.#messenger = new Messenger(transport, this);
    this.#watchdog = new Watchdog({
      transport,
      messenger: this.#messenger,
      timeoutSeconds,
      waits: this.#waits,
      left: this.#left,
      abort: (reason) => this.abort(reason),
    });
    this.#messenger.listen();
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
    this.#throwFailure();
    const number = isNumbered ? (this.#numbers.get(path) ?? 0) : null;
    if (number !== null) {
      this.#numbers.set(path, number + 1);
    }
    const exchange = { path, number, descriptor, tag };
    const other = this.#slots.begin(exchange);
    if (other !== undefined) {
      throw this.#mismatch(other.from, exchange, other.descriptor);
    }
    return exchange;
  }

  /** The exchange is over for this rank. */
  end(exchange: Exchange): void {
    const rest = this.#slots.end(exchange);
    if (rest !== undefined) {
      throw this.#mismatch(rest.from, exchange, rest.descriptor);
    }
  }

  /** @param bytes - must not be changed any more. @param to - ranks; `null`: all others. */
  post(exchange: Exchange, stage: number, to: readonly number[] | null, bytes: Uint8Array): void {
    const label = encodeLabel(exchange, stage);
    if (to === null) {
      this.#messenger.post(null, label, bytes);
    } else {
      for (const rank of to) {
        this.#messenger.post(rank, label, bytes);
      }
    }
  }

  /** Waits for what a rank posts. @returns the bytes, where they have come already. */
  take(exchange: Exchange, stage: number, from: number): Uint8Array | Promise<Uint8Array> {
    this.#throwFailure();
    let arrived = this.#slots.take(exchange, stage, from);
    if (arrived === undefined && this.#transport.poll !== undefined) {
      this.#transport.poll(() => this.#failure !== null || this.#slots.hasCome(exchange, stage, from));
      this.#throwFailure();
      arrived = this.#slots.take(exchange, stage, from);
    }
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
      this.#slots.wait(wait);
      this.#waits.add(wait);
      if (this.#waits.size === 1) {
        this.#transport.hold?.(true);
      }
      this.#watchdog.watch(wait);
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

  onMessage(from: number, text: string, bytes: Uint8Array): void {
    if (text === LEFT) {
      this.#leave(from);
      return;
    }
    const label = decodeLabel(text);
    if (label === null || this.#failure !== null) {
      return;
    }
    const { path, number, descriptor } = label;
    if (number !== null && number < (this.#numbers.get(path) ?? 0) && !this.#slots.has(label)) {
      const tag = `collective ${number}`;
      this.#mismatch(from, { path, number, descriptor: 'one that is over on this rank', tag }, descriptor);
      return;
    }
    const { wait, exchange } = this.#slots.expect(label, from);
    if (exchange !== null && exchange.descriptor !== descriptor) {
      this.#mismatch(from, exchange, descriptor);
    } else if (wait === null) {
      this.#slots.keep(label, from, bytes);
    } else {
      this.#slots.endWait(wait);
      this.#waits.delete(wait);
      this.#watchdog.progress();
      if (this.#waits.size === 0) {
        this.#transport.hold?.(false);
      }
      wait.resolve(bytes);
    }
  }

  onAbort(from: number, reason: Uint8Array): void {
    if (!this.#left.has(from)) {
      this.#fail(decodeFailure(from, reason));
    }
  }

  onReport(from: number, report: Report): void {
    this.#watchdog.hear(from, report);
  }

  waits(): readonly string[] {
    return [...new Set(Array.from(this.#waits, ({ exchange }) => exchange.tag))];
  }

  mayGoOn(): boolean {
    // Loops that share a job have groups of their own: each may wait for the others' while its own is about to go on.
    if (this.groups > 0) {
      return true;
    }
    return devices.describe().some(({ kind, memory }) => kind !== 'cpu' && memory.buffers > 0);
  }

  #throwFailure(): void {
    if (this.#failure !== null) {
      throw this.#failure.error;
    }
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
    this.#watchdog.stop();
    this.#slots.clear();
    const waits = [...this.#waits];
    this.#waits.clear();
    this.#transport.hold?.(false);
    waits.forEach(({ reject }) => reject(error));
  }
}

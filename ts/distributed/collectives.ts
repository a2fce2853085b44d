/** The collectives of a group over bytes: what a group loads before it is made, and all that it needs below. */

import type { Exchange } from './exchange.ts';
import { GroupExchanges } from './group_exchanges.ts';
import { Job } from './job.ts';
import { type Reducing, Reduction } from './reduction.ts';
import type { Transport } from './transport.ts';

/** What is done together, as errors tell it, and which exchange it is. */
export interface Call {
  /** The function that users call. */
  readonly where: string;
  /** What is done, with all that must be the same on every rank. */
  readonly descriptor: string;
  readonly tag: string | undefined;
}

/** Whose bytes become those of whom. */
export interface Transfer {
  readonly where: string;
  readonly tag: string | undefined;
  readonly from: number;
  /** `null`: all others. */
  readonly to: number | null;
}

export class Collectives {
  readonly job: Job;
  readonly rank: number;
  readonly size: number;
  readonly #exchanges: GroupExchanges;
  readonly #reduction: Reduction;

  constructor(exchanges: GroupExchanges) {
    this.job = exchanges.job;
    this.rank = exchanges.rank;
    this.size = exchanges.size;
    this.#exchanges = exchanges;
    this.#reduction = new Reduction(exchanges);
  }

  /** Those of some ranks; of rank -1 where this process is not among them. */
  of(ranks: readonly number[]): Collectives {
    return new Collectives(this.#exchanges.of(ranks));
  }

  /** Everybody's bytes, in order of ranks. @param own - must not be changed any more. */
  async gather({ where, descriptor, tag }: Call, own: Uint8Array): Promise<Uint8Array[]> {
    const exchange = this.#exchanges.begin(where, descriptor, tag);
    this.#exchanges.post(exchange, 0, own);
    const all = await this.#exchanges.takeAll(exchange, 0, own);
    this.#exchanges.end(exchange);
    return all;
  }

  /** Writes the result over the values; on failure they are as they were. */
  reduce(reducing: Reducing): Promise<void> {
    return this.#reduction.reduce(reducing);
  }

  /** @param own - as long as what comes; not changed. @returns the bytes of the rank `from`: `own` there. */
  async transfer(transfer: Transfer, own: Uint8Array): Promise<Uint8Array> {
    const exchange = this.#beginTransfer(transfer, own.length);
    if (transfer.from === this.rank) {
      this.#exchanges.post(exchange, 0, own.slice(), transfer.to);
      this.#exchanges.end(exchange);
      return own;
    }
    const bytes = await this.#exchanges.take(exchange, 0, transfer.from);
    this.#exchanges.end(exchange);
    return bytes;
  }

  #beginTransfer({ where, tag, from, to }: Transfer, length: number): Exchange {
    return to === null
      ? this.#exchanges.begin(where, `broadcast of ${length} bytes from rank ${from}`, tag)
      : this.#exchanges.beginPair(where, from, to, length, tag);
  }
}

/** Those of all ranks of a job, over what carries its frames. */
export function openCollectives(transport: Transport, timeoutSeconds: number): Collectives {
  return new Collectives(new GroupExchanges(new Job(transport, timeoutSeconds)));
}

/** The exchanges of one group in a job, among its ranks by their numbers in the group. */

import { describeValue } from '../describe_value.ts';
import { checkTag, type Exchange } from './exchange.ts';
import type { Job } from './job.ts';

export class GroupExchanges {
  readonly job: Job;
  /** The number of this process in the group; -1: it is not in it. */
  readonly rank: number;
  readonly size: number;
  /** The group's ranks by their numbers in the job; `null`: all, in order. */
  readonly #members: readonly number[] | null;
  readonly #others: readonly number[] | null;
  readonly #name: string;
  #collectives = 0;

  constructor(job: Job, members: readonly number[] | null = null, name = '') {
    this.job = job;
    this.rank = members?.indexOf(job.rank) ?? job.rank;
    this.size = members?.length ?? job.size;
    this.#members = members;
    this.#others = members?.filter((rank) => rank !== job.rank) ?? null;
    this.#name = name;
  }

  /** Those of some ranks of this group. */
  of(ranks: readonly number[]): GroupExchanges {
    const members = ranks.map((rank) => this.#inJob(rank));
    this.job.groups += 1;
    return new GroupExchanges(this.job, members, `group ${this.job.groups} of ranks ${members.join(', ')}`);
  }

  /** Begins an exchange of all ranks. */
  begin(where: string, descriptor: string, tag: string | undefined): Exchange {
    if (tag === undefined) {
      const number = this.#collectives;
      this.#collectives += 1;
      return this.job.begin(this.#path(''), true, descriptor, this.#named(`collective ${number}, ${descriptor}`));
    }
    if (typeof (tag as unknown) !== 'string') {
      throw new TypeError(`${where}: expected a tag, got ${describeValue(tag)}`);
    }
    checkTag(where, tag);
    return this.job.begin(this.#path(`tag ${tag}`), false, descriptor, this.#named(tag));
  }

  /** Begins an exchange of two ranks. */
  beginPair(where: string, from: number, to: number, length: number, tag = ''): Exchange {
    checkTag(where, tag);
    const descriptor = `${length} bytes from rank ${from} to rank ${to}`;
    const name = tag === '' ? descriptor : tag;
    return this.job.begin(this.#path(`pair ${from} ${to} ${tag}`), false, descriptor, this.#named(name));
  }

  end(exchange: Exchange): void {
    this.job.end(exchange);
  }

  /** @param bytes - must not be changed any more. @param to - a rank; `null`, the default: all others. */
  post(exchange: Exchange, stage: number, bytes: Uint8Array, to: number | null = null): void {
    this.job.post(exchange, stage, to === null ? this.#others : [this.#inJob(to)], bytes);
  }

  async take(exchange: Exchange, stage: number, from: number): Promise<Uint8Array> {
    return this.job.take(exchange, stage, this.#inJob(from));
  }

  /** What all ranks have sent, in order, with what is this rank's. */
  async takeAll(exchange: Exchange, stage: number, own: Uint8Array): Promise<Uint8Array[]> {
    const taken: (Uint8Array | Promise<Uint8Array>)[] = [];
    for (let from = 0; from < this.size; from += 1) {
      taken.push(from === this.rank ? own : this.job.take(exchange, stage, this.#inJob(from)));
    }
    return taken.every(isHere) ? taken : Promise.all(taken.map((each) => Promise.resolve(each)));
  }

  /** The number of a rank in the job. */
  #inJob(rank: number): number {
    return this.#members?.[rank] ?? rank;
  }

  #path(name: string): string {
    return `${this.#name}/${name}`;
  }

  #named(tag: string): string {
    return this.#name === '' ? tag : `${this.#name}, ${tag}`;
  }
}

function isHere(taken: Uint8Array | Promise<Uint8Array>): taken is Uint8Array {
  return 'length' in taken;
}

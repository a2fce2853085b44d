/** Process groups with PyTorch's collectives: the same bits on every rank, whatever carries them. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import type { ProcessGroup as LayerGroup, Tensor } from '../index.ts';
import { uint8ArrayOf } from '../typed_array.ts';
import { GroupExchanges } from './group_exchanges.ts';
import { bytesOf, dataOf, store, storeBytes } from './group_values.ts';
import { Job } from './job.ts';
import type { FrameCounts } from './messenger.ts';
import { copyOf } from './new_bytes.ts';
import { Reduction } from './reduction.ts';
import type { ReduceOp } from './sums.ts';
import type { Transport } from './transport.ts';

/** How long a {@link ProcessGroup} waits. */
export interface ProcessGroupOptions {
  /** How long a rank waits for another, in seconds; `Infinity`: for ever. Default 60. */
  readonly timeout?: number;
}

const groupOptions: KnownOptions<ProcessGroupOptions> = { timeout: 'number' };

/** Which exchange a call belongs to. */
export interface CollectiveOptions {
  /**
   * Names the exchange. Exchanges of different tags may be under way at once and begin in another order on each rank; those of one tag, and
   * those without one, must be begun in the same order on every rank. At most 512 characters.
   */
  readonly tag?: string;
}

const collectiveOptions: KnownOptions<CollectiveOptions> = { tag: 'string' };

export interface AllReduceOptions extends CollectiveOptions {
  /** `'sum'` (default), `'mean'` or `'max'`. */
  readonly op?: ReduceOp;
}

const allReduceOptions: KnownOptions<AllReduceOptions> = { ...collectiveOptions, op: 'string' };

const ops: readonly string[] = ['sum', 'mean', 'max'] satisfies ReduceOp[];

/** The longest timer: `Infinity` seconds are so many. */
const FOR_EVER_SECONDS = 2 ** 31 / 1000 - 1;

/**
 * Several processes, the *ranks*, that exchange values with each other; PyTorch's `torch.distributed`. Synchronized layers take it as their
 * `processGroup`.
 *
 * Every rank calls the same collectives with the same options in the same order. Ranks that all wait for each other, each in another
 * collective, and answer each other's questions meanwhile, are told after 30 ms, so parts of a program that run at once and load data in between
 * need a job of their own. A rank that does not, that fails, ends or does not come in
 * time fails all: every call that waits, and every later one, rejects on every rank, with the first error there was.
 *
 * Make one by `initProcessGroup()`, `spawn()` or `createLocalGroups()`; the constructor is for a backend of your own.
 *
 * @example
 * ```ts
 * const loss = await group.allReduce(Float32Array.of(sum), { op: 'sum' });
 * ```
 */
export class ProcessGroup implements LayerGroup {
  /** The number of this process in the group, from 0. */
  readonly rank: number;
  /** How many processes the group has. */
  readonly size: number;
  /** In seconds. */
  readonly timeout: number;
  readonly #transport: Transport;
  readonly #exchanges: GroupExchanges;
  readonly #reduction: Reduction;

  /**
   * @param exchanges - what {@link ProcessGroup.newGroup} gives; for nobody else.
   * @throws TypeError or RangeError for what is no number of seconds.
   */
  constructor(transport: Transport, options: ProcessGroupOptions = {}, exchanges: GroupExchanges | null = null) {
    checkOptions('new ProcessGroup()', options, groupOptions);
    const { timeout = 60 } = options;
    if (typeof timeout !== 'number' || !(timeout > 0)) {
      throw new RangeError(`timeout: expected more than 0 seconds, got ${describeValue(timeout)}`);
    }
    this.timeout = timeout;
    this.#transport = transport;
    this.#exchanges = exchanges ?? new GroupExchanges(new Job(transport, Math.min(timeout, FOR_EVER_SECONDS)));
    this.#reduction = new Reduction(this.#exchanges);
    this.rank = this.#exchanges.rank;
    this.size = this.#exchanges.size;
  }

  /** Why the group has failed; `null` while it has not. */
  get failure(): unknown {
    return this.#exchanges.job.failure;
  }

  /** How many frames have travelled. */
  get frames(): Readonly<FrameCounts> {
    return this.#exchanges.job.frames;
  }

  /**
   * Gives everybody's bytes to everybody, in order of ranks.
   *
   * @param bytes - of this rank, of any length.
   * @param tag - see {@link CollectiveOptions.tag}.
   * @returns they are read, never written to.
   */
  async allGather(bytes: Uint8Array, tag?: string): Promise<readonly Uint8Array[]> {
    const given = uint8ArrayOf(bytes);
    if (given === null) {
      throw new TypeError(`allGather(): expected bytes as a Uint8Array, got ${describeValue(bytes)}`);
    }
    return this.#gather('allGather()', 'allGather', tag, copyOf(given));
  }

  /**
   * Reduces values over all ranks, in place: element by element, added in order of ranks.
   *
   * @param values - of one length on all ranks. A tensor stays where it is and may be on any device.
   * @returns `values`. On failure they are as they were.
   */
  async allReduce<V extends Tensor | Float32Array>(values: V, options: AllReduceOptions = {}): Promise<V> {
    const where = 'allReduce()';
    checkOptions(where, options, allReduceOptions);
    const { op = 'sum', tag } = options;
    if (!ops.includes(op)) {
      throw new RangeError(`${where}: expected op to be one of ${ops.join(', ')}, got ${describeValue(op)}`);
    }
    const reduced = await this.#reduction.reduce({ where, tag, op, values: await dataOf(where, values) });
    await store(values, reduced);
    return values;
  }

  /**
   * Gives one rank's values to all others, in place.
   *
   * @param values - of one kind and length on all ranks.
   * @param source - the rank whose values they become.
   * @returns `values`
   */
  async broadcast<V extends Tensor | Float32Array | Uint8Array>(
    values: V,
    source = 0,
    options: CollectiveOptions = {},
  ): Promise<V> {
    const where = 'broadcast()';
    checkOptions(where, options, collectiveOptions);
    this.#checkRank(where, source);
    const bytes = await bytesOf(where, values);
    const exchange = this.#exchanges.begin(
      where,
      `broadcast of ${bytes.length} bytes from rank ${source}`,
      options.tag,
    );
    if (source === this.rank) {
      this.#exchanges.post(exchange, 0, bytes.slice());
    } else {
      await storeBytes(values, await this.#exchanges.take(exchange, 0, source));
    }
    this.#exchanges.end(exchange);
    return values;
  }

  /** Resolves when all ranks have called it. */
  async barrier(options: CollectiveOptions = {}): Promise<void> {
    checkOptions('barrier()', options, collectiveOptions);
    await this.#gather('barrier()', 'barrier', options.tag, new Uint8Array());
  }

  /** Sends values to one rank, which calls {@link ProcessGroup.recv} as often. Resolves at once: the group sees that they come. */
  async send(values: Tensor | Float32Array | Uint8Array, to: number, options: CollectiveOptions = {}): Promise<void> {
    const where = 'send()';
    checkOptions(where, options, collectiveOptions);
    this.#checkRank(where, to, this.rank);
    const bytes = await bytesOf(where, values);
    const exchange = this.#exchanges.beginPair(where, this.rank, to, bytes.length, options.tag);
    this.#exchanges.postTo(to, exchange, 0, bytes.slice());
    this.#exchanges.end(exchange);
  }

  /**
   * Receives what a rank sends, in place.
   * @returns `values`
   */
  async recv<V extends Tensor | Float32Array | Uint8Array>(
    values: V,
    from: number,
    options: CollectiveOptions = {},
  ): Promise<V> {
    const where = 'recv()';
    checkOptions(where, options, collectiveOptions);
    this.#checkRank(where, from, this.rank);
    const { length } = await bytesOf(where, values);
    const exchange = this.#exchanges.beginPair(where, from, this.rank, length, options.tag);
    const bytes = await this.#exchanges.take(exchange, 0, from);
    this.#exchanges.end(exchange);
    await storeBytes(values, bytes);
    return values;
  }

  /**
   * A group of some ranks, which exchange among themselves. All ranks of this group call it, in the same order and with the same ranks. The
   * groups fail together.
   *
   * @param ranks - numbers in this group; their order is that of the new one.
   * @returns `null` on ranks that are not in it.
   */
  newGroup(ranks: readonly number[]): ProcessGroup | null {
    const where = 'newGroup()';
    if (!Array.isArray(ranks) || ranks.length === 0 || new Set(ranks).size < ranks.length) {
      throw new RangeError(`${where}: expected an array of ranks, each once, got ${describeValue(ranks)}`);
    }
    const members = Array.from(ranks as readonly number[]);
    members.forEach((rank) => this.#checkRank(where, rank));
    const exchanges = this.#exchanges.of(members);
    return exchanges.rank < 0 ? null : new ProcessGroup(this.#transport, { timeout: this.timeout }, exchanges);
  }

  /**
   * Tells all other ranks that this one cannot go on, so that nobody waits for it: their calls, and all later ones, reject with a
   * `PeerFailedError`. Synchronized layers call it when they fail.
   */
  abort(reason: unknown): void {
    this.#exchanges.job.abort(reason);
  }

  /**
   * Leaves the job, and with it all groups that were made of this one. Resolves when what was sent has come everywhere, or after some seconds.
   * A rank that still waits for this one is told a `CollectiveMismatchError`; so all ranks call `barrier()` before, unless the last thing
   * they did was a collective.
   */
  async destroy(): Promise<void> {
    await this.#exchanges.job.leave();
  }

  async #gather(where: string, descriptor: string, tag: string | undefined, own: Uint8Array): Promise<Uint8Array[]> {
    const exchange = this.#exchanges.begin(where, descriptor, tag);
    this.#exchanges.post(exchange, 0, own);
    const all = await this.#exchanges.takeAll(exchange, 0, own);
    this.#exchanges.end(exchange);
    return all;
  }

  #checkRank(where: string, rank: unknown, own: number | null = null): void {
    const isRank = Number.isSafeInteger(rank) && (rank as number) >= 0 && (rank as number) < this.size;
    if (!isRank || rank === own) {
      const other = own === null ? 'a rank' : 'another rank';
      throw new RangeError(`${where}: expected ${other} from 0 to ${this.size - 1}, got ${describeValue(rank)}`);
    }
  }
}

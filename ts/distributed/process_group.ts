/** Process groups with PyTorch's collectives: the same bits on every rank, whatever carries them. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import type { ProcessGroup as LayerGroup, Tensor } from '../index.ts';
import { uint8ArrayOf } from '../typed_array.ts';
import { loadOnce } from '../load_once.ts';
import type { Collectives } from './collectives.ts';
import { bytesOf, dataOf, store, storeBytes } from './group_values.ts';
import type { FrameCounts } from './messenger.ts';
import { copyOf } from './new_bytes.ts';
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

/** What only a program that has a group needs. */
export const loadCollectives = loadOnce(() => import('./collectives.ts'));

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
 * Make one by `initProcessGroup()`, `spawn()` or `createLocalGroups()`.
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
  readonly #collectives: Collectives;

  private constructor(collectives: Collectives, timeout: number) {
    this.rank = collectives.rank;
    this.size = collectives.size;
    this.timeout = timeout;
    this.#collectives = collectives;
  }

  /**
   * The group over a transport that has connected all ranks. {@link initProcessGroup} does it with that of a backend.
   * @throws TypeError or RangeError for what is no number of seconds.
   */
  static async over(transport: Transport, options: ProcessGroupOptions = {}): Promise<ProcessGroup> {
    checkOptions('ProcessGroup.over()', options, groupOptions);
    const { timeout = 60 } = options;
    checkTimeout(timeout);
    const { openCollectives } = await loadCollectives();
    return new ProcessGroup(openCollectives(transport, Math.min(timeout, FOR_EVER_SECONDS)), timeout);
  }

  /** Why the group has failed; `null` while it has not. */
  get failure(): unknown {
    return this.#collectives.job.failure;
  }

  /** How many frames have travelled. */
  get frames(): Readonly<FrameCounts> {
    return this.#collectives.job.frames;
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
    return this.#collectives.gather({ where: 'allGather()', descriptor: 'allGather', tag }, copyOf(given));
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
    const data = await dataOf(where, values);
    await this.#collectives.reduce({ where, tag, op, values: data });
    await store(values, data);
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
    this.#checkRank(where, source);
    return this.#transfer(where, values, source, null, options);
  }

  /** Resolves when all ranks have called it. */
  async barrier(options: CollectiveOptions = {}): Promise<void> {
    checkOptions('barrier()', options, collectiveOptions);
    const call = { where: 'barrier()', descriptor: 'barrier', tag: options.tag };
    await this.#collectives.gather(call, new Uint8Array());
  }

  /** Sends values to one rank, which calls {@link ProcessGroup.recv} as often. Resolves at once: the group sees that they come. */
  async send(values: Tensor | Float32Array | Uint8Array, to: number, options: CollectiveOptions = {}): Promise<void> {
    const where = 'send()';
    this.#checkRank(where, to, this.rank);
    await this.#transfer(where, values, this.rank, to, options);
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
    this.#checkRank(where, from, this.rank);
    return this.#transfer(where, values, from, this.rank, options);
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
    const collectives = this.#collectives.of(members);
    return collectives.rank < 0 ? null : new ProcessGroup(collectives, this.timeout);
  }

  /**
   * Tells all other ranks that this one cannot go on, so that nobody waits for it: their calls, and all later ones, reject with a
   * `PeerFailedError`. Synchronized layers call it when they fail.
   */
  abort(reason: unknown): void {
    this.#collectives.job.abort(reason);
  }

  /**
   * Leaves the job, and with it all groups that were made of this one. Resolves when what was sent has come everywhere, or after some seconds.
   * A rank that still waits for this one is told a `CollectiveMismatchError`; so all ranks call `barrier()` before, unless the last thing
   * they did was a collective.
   */
  async destroy(): Promise<void> {
    await this.#collectives.job.leave();
  }

  /** Makes values those of the rank `from`. @param to - a rank; `null`: all others. */
  async #transfer<V extends Tensor | Float32Array | Uint8Array>(
    where: string,
    values: V,
    from: number,
    to: number | null,
    options: CollectiveOptions,
  ): Promise<V> {
    checkOptions(where, options, collectiveOptions);
    const own = await bytesOf(where, values);
    const bytes = await this.#collectives.transfer({ where, tag: options.tag, from, to }, own);
    if (from !== this.rank) {
      await storeBytes(values, bytes);
    }
    return values;
  }

  #checkRank(where: string, rank: unknown, own: number | null = null): void {
    const isRank = Number.isSafeInteger(rank) && (rank as number) >= 0 && (rank as number) < this.size;
    if (!isRank || rank === own) {
      const other = own === null ? 'a rank' : 'another rank';
      throw new RangeError(`${where}: expected ${other} from 0 to ${this.size - 1}, got ${describeValue(rank)}`);
    }
  }
}

/** @throws RangeError for what is no number of seconds that can be waited. */
export function checkTimeout(timeout: unknown): void {
  if (typeof timeout !== 'number' || !(timeout > 0)) {
    throw new RangeError(`timeout: expected more than 0 seconds, got ${describeValue(timeout)}`);
  }
}

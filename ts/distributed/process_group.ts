/** Process groups with PyTorch's collectives: the same bits on every rank, whatever carries them. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { type ProcessGroup as LayerGroup, Tensor } from '../index.ts';
import { float32ArrayOf, uint8ArrayOf } from '../typed_array.ts';
import { checkTag, type Exchange, Job } from './job.ts';
import type { FrameCounts } from './messenger.ts';
import { reduceInOrder, type ReduceOp } from './sums.ts';
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

/** Fewer values are sent to all, who add them up; more are cut among the ranks, each of which adds up its own part. */
const FEW_VALUES = 4096;
/** How many values a rank adds up in one round, 512 KiB, and how many rounds are under way. */
const ROUND_VALUES = 2 ** 17;
const ROUNDS = 2;

const ops: readonly string[] = ['sum', 'mean', 'max'] satisfies ReduceOp[];

/** The longest timer: `Infinity` seconds are so many. */
const FOR_EVER_SECONDS = 2 ** 31 / 1000 - 1;

/**
 * Several processes, the *ranks*, that exchange values with each other; PyTorch's `torch.distributed`. Synchronized layers take it as their
 * `processGroup`.
 *
 * Every rank calls the same collectives with the same options in the same order. A rank that does not, that fails, ends or does not come in
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
  readonly #job: Job;
  /** The group's ranks by their numbers in the job; `null`: all, in order. */
  readonly #members: readonly number[] | null;
  readonly #name: string;
  /** Tags of long reductions that are under way, whose rounds would meet those of another. */
  readonly #reducing = new Set<unknown>();
  #collectives = 0;

  /**
   * @param part - what {@link ProcessGroup.newGroup} gives; for nobody else.
   * @throws TypeError or RangeError for what is no number of seconds.
   */
  constructor(transport: Transport, options: ProcessGroupOptions = {}, part: Part | null = null) {
    checkOptions('new ProcessGroup()', options, groupOptions);
    const { timeout = 60 } = options;
    if (typeof timeout !== 'number' || !(timeout > 0)) {
      throw new RangeError(`timeout: expected more than 0 seconds, got ${describeValue(timeout)}`);
    }
    this.timeout = timeout;
    this.#job = part?.job ?? new Job(transport, Math.min(timeout, FOR_EVER_SECONDS));
    this.#members = part?.members ?? null;
    this.#name = part?.name ?? '';
    this.rank = part === null ? transport.rank : part.members.indexOf(transport.rank);
    this.size = part === null ? transport.size : part.members.length;
    this.#transport = transport;
  }

  /** Why the group has failed; `null` while it has not. */
  get failure(): unknown {
    return this.#job.failure;
  }

  /** How many frames have travelled. */
  get frames(): Readonly<FrameCounts> {
    return this.#job.frames;
  }

  /**
   * Gives everybody's bytes to everybody, in order of ranks.
   *
   * @param bytes - of this rank, of any length.
   * @param tag - see {@link CollectiveOptions.tag}.
   * @returns they are read, never written to.
   */
  async allGather(bytes: Uint8Array, tag?: string): Promise<readonly Uint8Array[]> {
    const own = uint8ArrayOf(bytes)?.slice();
    if (own === undefined) {
      throw new TypeError(`allGather(): expected bytes as a Uint8Array, got ${describeValue(bytes)}`);
    }
    return this.#gather('allGather()', 'allGather', tag, own);
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
    const given = await dataOf(where, values);
    const descriptor = `allReduce, ${op} of ${given.length} values`;
    const reduced =
      given.length <= FEW_VALUES
        ? await this.#reduceFew(where, descriptor, tag, given, op)
        : await this.#reduceMany(where, descriptor, tag, given, op);
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
    const exchange = this.#begin(where, `broadcast of ${bytes.length} bytes from rank ${source}`, options.tag);
    if (source === this.rank) {
      this.#post(exchange, 0, bytes.slice());
    } else {
      await storeBytes(values, await this.#take(exchange, 0, source));
    }
    this.#job.end(exchange);
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
    const exchange = this.#beginPair(where, this.rank, to, bytes.length, options.tag);
    this.#job.post(exchange, 0, [this.#inJob(to)], bytes.slice());
    this.#job.end(exchange);
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
    const exchange = this.#beginPair(where, from, this.rank, length, options.tag);
    const bytes = await this.#take(exchange, 0, from);
    this.#job.end(exchange);
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
    const members = Array.from(ranks as readonly number[], (rank) => {
      this.#checkRank(where, rank);
      return this.#inJob(rank);
    });
    this.#job.groups += 1;
    const name = `group ${this.#job.groups} of ranks ${members.join(', ')}`;
    if (!members.includes(this.#transport.rank)) {
      return null;
    }
    return new ProcessGroup(this.#transport, { timeout: this.timeout }, { job: this.#job, members, name });
  }

  /**
   * Tells all other ranks that this one cannot go on, so that nobody waits for it: their calls, and all later ones, reject with a
   * `PeerFailedError`. Synchronized layers call it when they fail.
   */
  abort(reason: unknown): void {
    this.#job.abort(reason);
  }

  /**
   * Leaves the job, and with it all groups that were made of this one. Resolves when what was sent has come everywhere, or after some seconds.
   * A rank that still waits for this one is told a `CollectiveMismatchError`; so all ranks call `barrier()` before, unless the last thing
   * they did was a collective.
   */
  async destroy(): Promise<void> {
    await this.#job.leave();
  }

  async #gather(where: string, descriptor: string, tag: string | undefined, own: Uint8Array): Promise<Uint8Array[]> {
    const exchange = this.#begin(where, descriptor, tag);
    this.#post(exchange, 0, own);
    const all = await this.#takeAll(exchange, 0, own);
    this.#job.end(exchange);
    return all;
  }

  async #reduceFew(
    where: string,
    descriptor: string,
    tag: string | undefined,
    values: Float32Array,
    op: ReduceOp,
  ): Promise<Float32Array> {
    const all = await this.#gather(where, descriptor, tag, bytesAt(values).slice());
    return reduceInOrder(all.map(floatsAt), op);
  }

  /** Round by round: each rank gets its slice of everybody, reduces it, and gives it to all. */
  async #reduceMany(
    where: string,
    descriptor: string,
    tag: string | undefined,
    values: Float32Array,
    op: ReduceOp,
  ): Promise<Float32Array> {
    if (tag !== undefined && this.#reducing.has(tag)) {
      throw new RangeError(
        `${where}: expected no other of tag ${JSON.stringify(tag)} to be under way; await it, or use another tag`,
      );
    }
    const exchange = this.#begin(where, descriptor, tag);
    const name = tag ?? exchange;
    this.#reducing.add(name);
    try {
      return await this.#reduceRounds(exchange, values, op);
    } finally {
      this.#reducing.delete(name);
    }
  }

  async #reduceRounds(exchange: Exchange, values: Float32Array, op: ReduceOp): Promise<Float32Array> {
    const reduced = new Float32Array(values.length);
    const underWay: Promise<void>[] = [];
    const perRound = ROUND_VALUES * this.size;
    for (let start = 0, round = 0; start < values.length; start += perRound, round += 1) {
      const end = Math.min(start + perRound, values.length);
      const running = this.#reduceRound(exchange, round, values.subarray(start, end), reduced.subarray(start, end), op);
      // Whichever is awaited first tells its error; no other may go unheard.
      running.catch(() => undefined);
      underWay.push(running);
      if (underWay.length >= ROUNDS) {
        await underWay.shift();
      }
    }
    await Promise.all(underWay);
    this.#job.end(exchange);
    return reduced;
  }

  async #reduceRound(
    exchange: Exchange,
    round: number,
    values: Float32Array,
    reduced: Float32Array,
    op: ReduceOp,
  ): Promise<void> {
    const length = Math.ceil(values.length / this.size);
    const slice = (of: Float32Array, rank: number): Float32Array => of.subarray(rank * length, (rank + 1) * length);
    for (let to = 0; to < this.size; to += 1) {
      if (to !== this.rank) {
        this.#job.post(exchange, 2 * round, [this.#inJob(to)], bytesAt(slice(values, to)).slice());
      }
    }
    const own = slice(values, this.rank);
    const parts = await this.#takeAll(exchange, 2 * round, bytesAt(own));
    const sums = await reduceInOrder(parts.map(floatsAt), op);
    this.#post(exchange, 2 * round + 1, bytesAt(sums));
    const all = await this.#takeAll(exchange, 2 * round + 1, bytesAt(sums));
    for (const [rank, bytes] of all.entries()) {
      slice(reduced, rank).set(floatsAt(bytes));
    }
  }

  #begin(where: string, descriptor: string, tag: string | undefined): Exchange {
    if (tag === undefined) {
      const number = this.#collectives;
      this.#collectives += 1;
      return this.#job.begin(this.#path(''), true, descriptor, this.#named(`collective ${number}, ${descriptor}`));
    }
    if (typeof (tag as unknown) !== 'string') {
      throw new TypeError(`${where}: expected a tag, got ${describeValue(tag)}`);
    }
    checkTag(where, tag);
    return this.#job.begin(this.#path(`tag ${tag}`), false, descriptor, this.#named(tag));
  }

  #beginPair(where: string, from: number, to: number, length: number, tag = ''): Exchange {
    checkTag(where, tag);
    const descriptor = `${length} bytes from rank ${from} to rank ${to}`;
    const name = tag === '' ? descriptor : tag;
    return this.#job.begin(this.#path(`pair ${from} ${to} ${tag}`), false, descriptor, this.#named(name));
  }

  #path(name: string): string {
    return `${this.#name}/${name}`;
  }

  #named(tag: string): string {
    return this.#name === '' ? tag : `${this.#name}, ${tag}`;
  }

  #post(exchange: Exchange, stage: number, bytes: Uint8Array): void {
    const others = this.#members?.filter((rank) => rank !== this.#transport.rank) ?? null;
    this.#job.post(exchange, stage, others, bytes);
  }

  async #take(exchange: Exchange, stage: number, from: number): Promise<Uint8Array> {
    return this.#job.take(exchange, stage, this.#inJob(from));
  }

  #takeAll(exchange: Exchange, stage: number, own: Uint8Array): Promise<Uint8Array[]> {
    return Promise.all(
      Array.from({ length: this.size }, (_, from) =>
        from === this.rank ? Promise.resolve(own) : this.#job.take(exchange, stage, this.#inJob(from)),
      ),
    );
  }

  /** The number of a rank in the job. */
  #inJob(rank: number): number {
    return this.#members?.[rank] ?? rank;
  }

  #checkRank(where: string, rank: unknown, own: number | null = null): void {
    const isRank = Number.isSafeInteger(rank) && (rank as number) >= 0 && (rank as number) < this.size;
    if (!isRank || rank === own) {
      const other = own === null ? 'a rank' : 'another rank';
      throw new RangeError(`${where}: expected ${other} from 0 to ${this.size - 1}, got ${describeValue(rank)}`);
    }
  }
}

/** What a group of some ranks of a job is made of. */
interface Part {
  readonly job: Job;
  readonly members: readonly number[];
  readonly name: string;
}

function bytesAt({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** What comes may begin anywhere in a larger array. */
function floatsAt(bytes: Uint8Array): Float32Array {
  const isAligned = bytes.byteOffset % 4 === 0;
  const { buffer, byteOffset } = isAligned ? bytes : new Uint8Array(bytes);
  return new Float32Array(buffer, byteOffset, bytes.byteLength >>> 2);
}

/** The values themselves of an array, a copy of a tensor's. */
async function dataOf(where: string, values: unknown): Promise<Float32Array> {
  const data = values instanceof Tensor ? await values.data() : float32ArrayOf(values);
  if (data === null) {
    throw new TypeError(`${where}: expected a Tensor or a Float32Array, got ${describeValue(values)}`);
  }
  return data;
}

async function bytesOf(where: string, values: unknown): Promise<Uint8Array> {
  const bytes = uint8ArrayOf(values);
  if (bytes !== null) {
    return bytes;
  }
  if (!(values instanceof Tensor) && float32ArrayOf(values) === null) {
    throw new TypeError(`${where}: expected a Tensor, a Float32Array or a Uint8Array, got ${describeValue(values)}`);
  }
  return bytesAt(await dataOf(where, values));
}

async function store(values: Tensor | Float32Array, data: Float32Array): Promise<void> {
  if (values instanceof Tensor) {
    await values.copy_(data);
  } else {
    values.set(data);
  }
}

async function storeBytes(values: Tensor | Float32Array | Uint8Array, bytes: Uint8Array): Promise<void> {
  if (uint8ArrayOf(values) !== null) {
    (values as Uint8Array).set(bytes);
  } else if (values instanceof Tensor) {
    await values.copy_(floatsAt(bytes));
  } else {
    float32ArrayOf(values)?.set(floatsAt(bytes));
  }
}

/** How a group reduces values over its ranks: element by element, in order of ranks. */

import type { Exchange } from './exchange.ts';
import type { GroupExchanges } from './group_exchanges.ts';
import { bytesAt, floatsAt } from './group_values.ts';
import { reduceInOrder, type ReduceOp } from './sums.ts';

/** Fewer values are sent to all, who add them up; more are cut among the ranks, each of which adds up its own part. */
const FEW_VALUES = 4096;
/** How many values a rank adds up in one round, 768 KiB, which one frame carries, and how many rounds are under way: more would leave the caches. */
const ROUND_VALUES = 3 * 2 ** 16;
const ROUNDS = 3;

/** What is to be reduced. */
export interface Reducing {
  /** The function that users call, for errors. */
  readonly where: string;
  readonly tag: string | undefined;
  readonly op: ReduceOp;
  /** Of this rank, of one length on all. */
  readonly values: Float32Array;
}

export class Reduction {
  readonly #exchanges: GroupExchanges;
  /** Tags of long reductions that are under way, whose rounds would meet those of another. */
  readonly #underWay = new Set<unknown>();
  /** Memory of the last long result, while nobody else has wanted it: fresh memory takes longer to get than to fill. */
  #spare: WeakRef<Float32Array> | null = null;

  constructor(exchanges: GroupExchanges) {
    this.#exchanges = exchanges;
  }

  /** Writes the result over the values, the same on all ranks, when all of it is there. On failure they are as they were. */
  async reduce(reducing: Reducing): Promise<void> {
    const { where, tag, op, values } = reducing;
    const isLong = values.length > FEW_VALUES;
    if (isLong && tag !== undefined && this.#underWay.has(tag)) {
      throw new RangeError(
        `${where}: expected no other of tag ${JSON.stringify(tag)} to be under way; await it, or use another tag`,
      );
    }
    const exchange = this.#exchanges.begin(where, `allReduce, ${op} of ${values.length} values`, tag);
    if (!isLong) {
      await this.#reduceFew(exchange, values, op);
      return;
    }
    const name = tag ?? exchange;
    this.#underWay.add(name);
    try {
      await this.#reduceMany(exchange, values, op);
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #reduceFew(exchange: Exchange, values: Float32Array, op: ReduceOp): Promise<void> {
    const own = bytesAt(values).slice();
    this.#exchanges.post(exchange, 0, own);
    const all = await this.#exchanges.takeAll(exchange, 0, own);
    this.#exchanges.end(exchange);
    await reduceInOrder(all.map(floatsAt), op, values);
  }

  /** Round by round, some of which are under way. What is sent are the values and the result themselves. */
  async #reduceMany(exchange: Exchange, values: Float32Array, op: ReduceOp): Promise<void> {
    const { size } = this.#exchanges;
    const result = this.#memoryFor(values.length);
    const perRound = size === 2 ? ROUND_VALUES : ROUND_VALUES * size;
    const rounds = Math.ceil(values.length / perRound);
    const underWay: Promise<void>[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const [start, end] = [round * perRound, (round + 1) * perRound];
      const [own, target] = [values.subarray(start, end), result.subarray(start, end)];
      const running =
        size === 2
          ? this.#reduceWhole(exchange, round, own, target, op)
          : this.#reduceSlices(exchange, round, own, target, op);
      // Whichever is awaited first tells its error; no other may go unheard.
      running.catch(() => undefined);
      underWay.push(running);
      if (underWay.length >= ROUNDS) {
        await underWay.shift();
      }
    }
    await Promise.all(underWay);
    await this.#confirm(exchange, 2 * rounds);
    this.#exchanges.end(exchange);
    values.set(result);
    this.#spare = new WeakRef(result);
  }

  #memoryFor(length: number): Float32Array {
    const spare = this.#spare?.deref();
    this.#spare = null;
    return spare?.length === length ? spare : new Float32Array(length);
  }

  /** Each rank gets everything of everybody and reduces it: between two, as many bytes as in slices, and one message after the other. */
  async #reduceWhole(
    exchange: Exchange,
    stage: number,
    values: Float32Array,
    target: Float32Array,
    op: ReduceOp,
  ): Promise<void> {
    const own = bytesAt(values);
    this.#exchanges.post(exchange, stage, own);
    const all = await this.#exchanges.takeAll(exchange, stage, own);
    await reduceInOrder(all.map(floatsAt), op, target);
  }

  /** Each rank gets its slice of everybody, reduces it, and gives it to all. */
  async #reduceSlices(
    exchange: Exchange,
    round: number,
    values: Float32Array,
    target: Float32Array,
    op: ReduceOp,
  ): Promise<void> {
    const { rank, size } = this.#exchanges;
    const length = Math.ceil(values.length / size);
    const slice = (of: Float32Array, owner: number): Float32Array => of.subarray(owner * length, (owner + 1) * length);
    for (let to = 0; to < size; to += 1) {
      if (to !== rank) {
        this.#exchanges.post(exchange, 2 * round, bytesAt(slice(values, to)), to);
      }
    }
    const parts = await this.#exchanges.takeAll(exchange, 2 * round, bytesAt(slice(values, rank)));
    const sums = slice(target, rank);
    await reduceInOrder(parts.map(floatsAt), op, sums);
    this.#exchanges.post(exchange, 2 * round + 1, bytesAt(sums));
    const all = await this.#exchanges.takeAll(exchange, 2 * round + 1, bytesAt(sums));
    for (const [owner, bytes] of all.entries()) {
      if (owner !== rank) {
        bytesAt(slice(target, owner)).set(bytes);
      }
    }
  }

  /** Resolves when all others have everything: what may have to be sent again must not be written over. */
  async #confirm(exchange: Exchange, stage: number): Promise<void> {
    const nothing = new Uint8Array();
    this.#exchanges.post(exchange, stage, nothing);
    await this.#exchanges.takeAll(exchange, stage, nothing);
  }
}

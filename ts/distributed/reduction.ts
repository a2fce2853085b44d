/** How a group reduces values over its ranks: element by element, in order of ranks. */

import type { Exchange } from './exchange.ts';
import type { GroupExchanges } from './group_exchanges.ts';
import { bytesAt, floatsAt } from './group_values.ts';
import { reduceInOrder, type ReduceOp } from './sums.ts';

/** Fewer values are sent to all, who add them up; more are cut among the ranks, each of which adds up its own part. */
const FEW_VALUES = 4096;
/** How many values a rank adds up in one round, 512 KiB, and how many rounds are under way. */
const ROUND_VALUES = 2 ** 17;
const ROUNDS = 2;

/** What is to be reduced. */
export interface Reducing {
  /** The function that users call, for errors. */
  readonly where: string;
  readonly tag: string | undefined;
  readonly op: ReduceOp;
  /** Of this rank, of one length on all; not changed. */
  readonly values: Float32Array;
}

export class Reduction {
  readonly #exchanges: GroupExchanges;
  /** Tags of long reductions that are under way, whose rounds would meet those of another. */
  readonly #underWay = new Set<unknown>();

  constructor(exchanges: GroupExchanges) {
    this.#exchanges = exchanges;
  }

  /** @returns values of its own, the same on all ranks. */
  async reduce(reducing: Reducing): Promise<Float32Array> {
    const { where, tag, op, values } = reducing;
    const isLong = values.length > FEW_VALUES;
    if (isLong && tag !== undefined && this.#underWay.has(tag)) {
      throw new RangeError(
        `${where}: expected no other of tag ${JSON.stringify(tag)} to be under way; await it, or use another tag`,
      );
    }
    const exchange = this.#exchanges.begin(where, `allReduce, ${op} of ${values.length} values`, tag);
    if (!isLong) {
      return this.#reduceFew(exchange, values, op);
    }
    const name = tag ?? exchange;
    this.#underWay.add(name);
    try {
      return await this.#reduceMany(exchange, values, op);
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #reduceFew(exchange: Exchange, values: Float32Array, op: ReduceOp): Promise<Float32Array> {
    const own = bytesAt(values).slice();
    this.#exchanges.post(exchange, 0, own);
    const all = await this.#exchanges.takeAll(exchange, 0, own);
    this.#exchanges.end(exchange);
    return reduceInOrder(all.map(floatsAt), op);
  }

  /** Round by round: each rank gets its slice of everybody, reduces it, and gives it to all. */
  async #reduceMany(exchange: Exchange, values: Float32Array, op: ReduceOp): Promise<Float32Array> {
    const reduced = new Float32Array(values.length);
    const underWay: Promise<void>[] = [];
    const perRound = ROUND_VALUES * this.#exchanges.size;
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
    this.#exchanges.end(exchange);
    return reduced;
  }

  async #reduceRound(
    exchange: Exchange,
    round: number,
    values: Float32Array,
    reduced: Float32Array,
    op: ReduceOp,
  ): Promise<void> {
    const { rank, size } = this.#exchanges;
    const length = Math.ceil(values.length / size);
    const slice = (of: Float32Array, owner: number): Float32Array => of.subarray(owner * length, (owner + 1) * length);
    for (let to = 0; to < size; to += 1) {
      if (to !== rank) {
        this.#exchanges.post(exchange, 2 * round, bytesAt(slice(values, to)).slice(), to);
      }
    }
    const parts = await this.#exchanges.takeAll(exchange, 2 * round, bytesAt(slice(values, rank)));
    const sums = bytesAt(await reduceInOrder(parts.map(floatsAt), op));
    this.#exchanges.post(exchange, 2 * round + 1, sums);
    const all = await this.#exchanges.takeAll(exchange, 2 * round + 1, sums);
    for (const [owner, bytes] of all.entries()) {
      slice(reduced, owner).set(floatsAt(bytes));
    }
  }
}

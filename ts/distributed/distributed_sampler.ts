/** Which samples each rank takes; PyTorch's `DistributedSampler`. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';

/** Options of {@link DistributedSampler}, as PyTorch has them. */
export interface DistributedSamplerOptions {
  /** How many ranks there are: `group.size`. */
  readonly numReplicas: number;
  /** The number of this rank: `group.rank`. */
  readonly rank: number;
  /** Whether the samples come in another order in each epoch, the same on all ranks; default `true`. */
  readonly shuffle?: boolean;
  /** Of the order; default 0. */
  readonly seed?: number;
  /** Whether samples are left out so that all ranks have equally many, instead of repeated. Default `false`. */
  readonly dropLast?: boolean;
}

const samplerOptions: KnownOptions<DistributedSamplerOptions> = {
  numReplicas: 'number',
  rank: 'number',
  shuffle: 'boolean',
  seed: 'number',
  dropLast: 'boolean',
};

/**
 * The numbers of the samples that a rank takes in an epoch: every `numReplicas`-th of all, from its own number on. All ranks have equally many, so
 * the first samples come again at the end where the number of samples is no multiple.
 *
 * The order is another one than PyTorch's, whose generator is another.
 *
 * @example
 * ```ts
 * const sampler = new DistributedSampler(images.length, { numReplicas: group.size, rank: group.rank });
 * sampler.setEpoch(3);
 * for (const index of sampler) { … }
 * ```
 */
export class DistributedSampler implements Iterable<number> {
  readonly #samples: number;
  readonly #options: Required<DistributedSamplerOptions>;
  #epoch = 0;

  /**
   * @param dataset - what has so many samples, or their number.
   * @throws TypeError or RangeError for other numbers.
   */
  constructor(dataset: number | ArrayLike<unknown>, options: DistributedSamplerOptions) {
    const where = 'new DistributedSampler()';
    checkOptions(where, options, samplerOptions);
    const { numReplicas, rank, shuffle = true, seed = 0, dropLast = false } = options;
    const samples = typeof dataset === 'number' ? dataset : dataset.length;
    checkCount(`${where}: samples`, samples, 0);
    checkCount(`${where}: numReplicas`, numReplicas, 1);
    checkCount(`${where}: rank`, rank, 0);
    checkCount(`${where}: seed`, seed, 0);
    if (rank >= numReplicas) {
      throw new RangeError(`${where}: expected a rank from 0 to ${numReplicas - 1}, got ${rank}`);
    }
    this.#samples = samples;
    this.#options = { numReplicas, rank, shuffle, seed, dropLast };
  }

  /** How many samples each rank takes. */
  get length(): number {
    const { numReplicas, dropLast } = this.#options;
    const share = this.#samples / numReplicas;
    return dropLast ? Math.floor(share) : Math.ceil(share);
  }

  /** Chooses the order; every rank calls it before each epoch with the same number. */
  setEpoch(epoch: number): void {
    checkCount('setEpoch()', epoch, 0);
    this.#epoch = epoch;
  }

  /** The numbers of this rank's samples, in the order of the epoch. */
  *[Symbol.iterator](): Generator<number, void> {
    const { numReplicas, rank, shuffle, seed } = this.#options;
    const order = Uint32Array.from({ length: this.#samples }, (_, i) => i);
    if (shuffle) {
      shuffleBy(order, seed, this.#epoch);
    }
    for (let i = 0; i < this.length; i += 1) {
      yield order[(rank + i * numReplicas) % this.#samples] ?? 0;
    }
  }
}

/** Fisher and Yates, with the generator SplitMix32. */
function shuffleBy(order: Uint32Array, seed: number, epoch: number): void {
  let state = Math.imul(seed + 1, 0x9e3779b9) ^ Math.imul(epoch + 1, 0x85ebca6b);
  for (let end = order.length - 1; end > 0; end -= 1) {
    state = (state + 0x9e3779b9) | 0;
    let bits = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
    bits = (bits ^ (bits >>> 15)) >>> 0;
    const other = Math.floor((bits / 2 ** 32) * (end + 1));
    const moved = order[end] ?? 0;
    order[end] = order[other] ?? 0;
    order[other] = moved;
  }
}

function checkCount(where: string, value: unknown, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new RangeError(`${where}: expected a whole number from ${least} on, got ${describeValue(value)}`);
  }
}

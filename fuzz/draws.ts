/** Random choices that follow from a seed alone. */

import { randomBits } from '../tests/support/random.ts';

/** A sequence of choices. */
export class Draws {
  readonly #seed: number;
  #next = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** 32 random bits. */
  bits(): number {
    return randomBits(this.#seed, this.#next++);
  }

  /** An integer from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return min + (this.bits() % (max - min + 1));
  }

  /** True once in so many times. */
  onceIn(times: number): boolean {
    return this.integer(1, times) === 1;
  }

  /** @throws RangeError when there is nothing to choose from. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.integer(0, items.length - 1)];
    if (item === undefined) throw new RangeError('expected something to choose from, got nothing');
    return item;
  }

  /** One of the values, each as often as its weight says. */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T {
    let left = this.integer(0, choices.reduce((sum, [weight]) => sum + weight, 0) - 1);
    for (const [weight, value] of choices) {
      if (left < weight) return value;
      left -= weight;
    }
    throw new RangeError('expected weights that are integers, at least one of them positive');
  }

  shuffled<T>(items: readonly T[]): T[] {
    const rest = [...items];
    return items.map(() => rest.splice(this.integer(0, rest.length - 1), 1)).flat();
  }
}

/** Values of batches. */

import { randomArray } from '../tests/support/random.ts';
import type { Values } from './program.ts';

/** `count` values that follow from a seed. */
export function valuesOf(count: number, values: Values, seed: number): Float32Array {
  switch (values) {
    case 'normal':
      return randomArray(seed, count);
    case 'offset':
      return randomArray(seed, count, { offset: 1e4, scale: 1e-2 });
    case 'constant':
      return new Float32Array(count).fill(1 + (seed % 7));
    case 'uniform':
      return randomArray(seed, count, { distribution: 'uniform' });
    case 'mixed':
      return randomArray(seed, count, { scale: 3, offset: -5 }).map((value, i) => (i % 11 === 0 ? 100 * value : value));
    default:
      return values satisfies never;
  }
}

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
    case 'huge':
      // Sums of a part of the batch, which a device hands on in f32, stay below 3.4e38.
      return randomArray(seed, count, { scale: [1e15, 1e25, 1e33][seed % 3] ?? 1 });
    case 'tiny':
      return randomArray(seed, count, { scale: [1e-15, 1e-30, 1e-35][seed % 3] ?? 1 });
    case 'infinite':
      return withEvery(13, randomArray(seed, count), seed % 2 === 0 ? Infinity : -Infinity, seed);
    case 'nan':
      return withEvery(13, randomArray(seed, count), Number.NaN, seed);
    default:
      return values satisfies never;
  }
}

/** Whether no value is infinite or NaN. */
export function isFinite(values: Values): boolean {
  return values !== 'infinite' && values !== 'nan';
}

/** The values with another one in the place of every `stride`-th. */
function withEvery(stride: number, values: Float32Array, value: number, seed: number): Float32Array {
  for (let i = seed % stride; i < values.length; i += stride) values[i] = value;
  return values;
}

/** Rearranges values on the host, for engines that know no memory formats: what they get lies as the workload says. */

import { sizesOf } from './workloads.ts';

/** From (N, C, …) to (N, …, C). */
export function toChannelsLast(values: ArrayLike<number>, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const { samples, channels, length } = sizesOf(shape);
  return transposed(values, samples, channels, length);
}

/** From (N, …, C) to (N, C, …). */
export function fromChannelsLast(values: ArrayLike<number>, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const { samples, channels, length } = sizesOf(shape);
  return transposed(values, samples, length, channels);
}

/** Each of `count` matrices of `rows` × `columns`, transposed. */
function transposed(
  values: ArrayLike<number>,
  count: number,
  rows: number,
  columns: number,
): Float32Array<ArrayBuffer> {
  const result = new Float32Array(values.length);
  const size = rows * columns;
  for (let matrix = 0; matrix < count; matrix++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const value = values[matrix * size + row * columns + column] ?? Number.NaN;
        result[matrix * size + column * rows + row] = value;
      }
    }
  }
  return result;
}

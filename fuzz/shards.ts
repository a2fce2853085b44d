/** Which elements of a batch each replica gets, and the one batch that all of them are together. */

import { chunkSizes } from '../ts/parallel/share_sizes.ts';

/** Elements of a batch, in the logical order of a batch of their own. */
export interface Part {
  readonly shape: readonly number[];
  /** Where each element is in the whole batch, in its logical order. */
  readonly positions: readonly number[];
}

/**
 * The parts of the replicas.
 *
 * @param dim - the dimension that is cut, from the start.
 * @param lengths - sizes that replicas cut the last dimension down to, by turns; none: it stays as it is.
 */
export function shardsOf(
  shape: readonly number[],
  dim: number,
  devices: number,
  lengths: readonly number[],
): readonly Part[] {
  let start = 0;
  return chunkSizes(shape[dim] ?? 0, devices).map((size, r) => {
    const own = [...shape];
    own[dim] = size;
    const last = shape.length - 1;
    const length = lengths[r % Math.max(lengths.length, 1)];
    if (length !== undefined && last > 1) own[last] = croppedTo(length, own[last] ?? 0);
    const offset = shape.map((_, d) => (d === dim ? start : 0));
    start += size;
    return { shape: own, positions: positionsOf(own, offset, shape) };
  });
}

/** What a replica that would have `length` values in a dimension of `size` has. */
export function croppedTo(length: number, size: number): number {
  return Math.min(Math.max(length, 0), size);
}

/** The samples of a batch in order, cut into one part more than there are cuts: so many samples each, modulo what is left; the last has the rest. */
export function cutsOf(shape: readonly number[], cuts: readonly number[]): readonly Part[] {
  const [samples = 0, ...rest] = shape;
  const size = elementsOf(rest);
  const parts: Part[] = [];
  let start = 0;
  for (const cut of [...cuts, samples]) {
    const count = parts.length === cuts.length ? samples - start : cut % (samples - start + 1);
    const positions = Array.from({ length: count * size }, (_, i) => start * size + i);
    parts.push({ shape: [count, ...rest], positions });
    start += count;
  }
  return parts;
}

/**
 * The batch that the shards are together: one after the other, or as rows of one value each where samples of one shard have more
 * values than those of another. Empty shards do not count.
 */
export function together(shards: readonly Part[]): Part {
  const [first] = shards;
  if (first === undefined) throw new RangeError('expected at least one shard');
  if (shards.length === 1) return first;
  const filled = shards.filter(({ positions }) => positions.length > 0);
  const [, channels = 1, ...rest] = (filled[0] ?? first).shape;
  if (new Set(filled.map(({ shape }) => valuesPerChannel(shape))).size <= 1) {
    const samples = filled.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0);
    return { shape: [samples, channels, ...rest], positions: filled.flatMap(({ positions }) => positions) };
  }
  const rows = filled.flatMap(rowsOf);
  return { shape: [rows.length / channels, channels, ...rest.map(() => 1)], positions: rows };
}

/** The elements of a part. */
export function take(values: Float32Array, { positions }: Part): Float32Array {
  return Float32Array.from(positions, (position) => values[position] ?? Number.NaN);
}

/** Puts the elements of a part where they belong. */
export function put(target: Float32Array, { positions }: Part, values: ArrayLike<number>): void {
  positions.forEach((position, i) => (target[position] = values[i] ?? Number.NaN));
}

export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function valuesPerChannel([, , ...rest]: readonly number[]): number {
  return elementsOf(rest);
}

/** In the order (N, L, C). */
function rowsOf({ shape, positions }: Part): number[] {
  const [samples = 0, channels = 0] = shape;
  const length = valuesPerChannel(shape);
  const rows: number[] = [];
  for (let n = 0; n < samples; n++) {
    for (let l = 0; l < length; l++) {
      for (let c = 0; c < channels; c++) rows.push(positions[(n * channels + c) * length + l] ?? -1);
    }
  }
  return rows;
}

/** Where the elements of a box are in a batch of shape `whole`. */
function positionsOf(box: readonly number[], offset: readonly number[], whole: readonly number[]): number[] {
  let positions = [0];
  for (const [d, size] of box.entries()) {
    const next: number[] = [];
    for (const base of positions) {
      for (let i = 0; i < size; i++) next.push(base * (whole[d] ?? 1) + (offset[d] ?? 0) + i);
    }
    positions = next;
  }
  return positions;
}

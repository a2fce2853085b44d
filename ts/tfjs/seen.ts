/** How a tensor of tfjs looks to a batch norm of the library, which has its channels in the second place. Nothing is moved. */

import type { MemoryFormat } from '../index.ts';

/** How the values of a tensor of tfjs, as they lie in memory, are seen as a batch. */
export interface Seen {
  readonly shape: readonly number[];
  readonly memoryFormat: MemoryFormat;
}

/** What lies before the channels are samples to the library; but where they come last, only the batch, since channels last are faster than rows. */
export function seenAs(shape: readonly number[], axis: number): Seen {
  const at = axis < 0 ? axis + shape.length : axis;
  const count = (sizes: readonly number[]): number => sizes.reduce((product, size) => product * size, 1);
  const channels = shape[at] ?? 0;
  if (at === shape.length - 1) {
    const [samples = 0, ...others] = shape.slice(0, at);
    return others.length === 0
      ? { shape: [samples, channels], memoryFormat: 'contiguous' }
      : { shape: [samples, channels, count(others)], memoryFormat: 'channels_last' };
  }
  return { shape: [count(shape.slice(0, at)), channels, count(shape.slice(at + 1))], memoryFormat: 'contiguous' };
}

/** Setting what a module holds back to constants. */

import { Storage } from '../tensor/storage.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A tensor, or its absence, and the value of all its elements. */
export type Refill = readonly [target: Tensor | null, value: number];

/**
 * Gives tensors new memory filled with constants: all of them or, on failure, none. What shares the old memory, such as a
 * graph or a state dict, keeps it.
 * @throws OutOfMemoryError
 */
export function refill(refills: readonly Refill[]): void {
  const fresh: (readonly [target: Tensor, storage: Storage])[] = [];
  try {
    for (const [target, value] of refills) {
      if (target !== null) {
        const { device, length } = target.storage;
        const data = new Float32Array(length).fill(value);
        fresh.push([target, Storage.from(device, data)]);
      }
    }
  } catch (error) {
    fresh.forEach(([, storage]) => storage.release());
    throw error;
  }
  fresh.forEach(([target, storage]) => target.replaceStorage(storage));
}

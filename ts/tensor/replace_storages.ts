/** Several tensors that get other memory together. */

import { DisposedError } from '../errors.ts';
import type { Storage } from './storage.ts';
import type { Tensor } from './tensor.ts';

/** A tensor and its next memory; where there is no tensor, nobody needs the memory. */
export type Replacement = readonly [target: Tensor | null, storage: Storage];

/**
 * Exchanges the memory of all tensors, and takes over the references to it; of none where that throws.
 * @throws DisposedError for a tensor that was disposed while its next memory was computed; the caller keeps its references then.
 */
export function replaceStorages(replacements: readonly Replacement[]): void {
  for (const [target] of replacements) {
    if (target?.isDisposed === true) {
      throw new DisposedError(target.shape);
    }
  }
  for (const [target, storage] of replacements) {
    if (target === null) {
      storage.release();
    } else {
      target.replaceStorage(storage);
    }
  }
}

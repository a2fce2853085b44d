/** Several tensors that get other memory together. */

import { DisposedError } from '../errors.ts';
import type { Storage } from './storage.ts';
import { confirmation } from './storage_ops.ts';

/** What is asked of a tensor; see `Tensor`. */
interface Replaceable {
  readonly isDisposed: boolean;
  readonly shape: readonly number[];
  readonly storage: Storage;
  replaceStorage(storage: Storage): void;
}

/** A tensor and its next memory; where there is no tensor, nobody needs the memory. */
export type Replacement = readonly [target: Replaceable | null, storage: Storage];

/** An exchange whose new memory a GPU has not confirmed yet. */
interface Provisional {
  readonly next: Storage;
  /** What the tensor gets back when the new memory has failed; a reference of ours. */
  previous: Storage;
}

/** By tensor, in order of the exchanges. */
const provisional = new WeakMap<Replaceable, Set<Provisional>>();

/**
 * Exchanges the memory of all tensors, and takes over the references to it; of none where that throws.
 *
 * A synchronous call cannot wait for a GPU to confirm the new memory. The exchange is provisional then: the tensors keep their earlier
 * memory aside, and get it back when the GPU says later that the new one has failed, unless they have got yet other memory meanwhile.
 * @param undo - takes back what goes with the exchange, when one of the tensors gets its earlier memory back.
 * @throws DisposedError for a tensor that was disposed while its next memory was computed; the caller keeps its references then.
 */
export function replaceStorages(replacements: readonly Replacement[], undo?: () => void): void {
  for (const [target] of replacements) {
    if (target?.isDisposed === true) {
      throw new DisposedError(target.shape);
    }
  }
  const doubt = confirmation(replacements.map(([, storage]) => storage));
  const exchanges: (readonly [Replaceable, Provisional])[] = [];
  for (const [target, next] of replacements) {
    if (target === null) {
      next.release();
      continue;
    }
    if (doubt !== null) {
      exchanges.push([target, { next, previous: target.storage.retain() }]);
    }
    target.replaceStorage(next);
  }
  if (doubt === null) {
    return;
  }
  for (const [target, exchange] of exchanges) {
    const earlier = provisional.get(target) ?? new Set();
    provisional.set(target, earlier.add(exchange));
  }
  doubt.then(
    () => exchanges.forEach(([target, exchange]) => confirmed(target, exchange)),
    () => {
      const areBack = exchanges.map(([target, exchange]) => takenBack(target, exchange));
      if (areBack.includes(true)) {
        undo?.();
      }
    },
  );
}

function confirmed(target: Replaceable, exchange: Provisional): void {
  provisional.get(target)?.delete(exchange);
  exchange.previous.release();
}

/** Whether the new memory, which has failed, was still in use, by the tensor or as the earlier memory of a later exchange. */
function takenBack(target: Replaceable, exchange: Provisional): boolean {
  const others = provisional.get(target) ?? new Set<Provisional>();
  others.delete(exchange);
  const { next, previous } = exchange;
  const later = [...others].find((other) => other.previous === next);
  if (later !== undefined) {
    next.release();
    later.previous = previous;
    return true;
  }
  if (target.isDisposed || target.storage !== next) {
    previous.release();
    return false;
  }
  target.replaceStorage(previous);
  return true;
}

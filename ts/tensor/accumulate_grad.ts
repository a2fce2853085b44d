/** The end of a backward pass: the gradients of the leaves are added to what their `grad` holds. */

import { DeviceMismatchError } from '../errors.ts';
import { track } from './scope.ts';
import type { Tensor } from './tensor.ts';

/**
 * Adds gradients to the `grad` of their leaves.
 *
 * First everything that can fail or take time is done on the side, then all leaves change in one step without a break:
 * a failure changes none, and two passes at once do not lose each other's sums.
 *
 * @param gradients - by leaf.
 * @param owned - tensors that the pass will dispose; those that become a `grad` leave this set.
 */
export async function accumulateGrads(gradients: ReadonlyMap<Tensor, Tensor>, owned: Set<Tensor>): Promise<void> {
  const arranged = new Map<Tensor, Tensor>();
  for (const [leaf, gradient] of gradients) {
    if (!leaf.isDisposed && leaf.storage.device !== gradient.storage.device) {
      throw new DeviceMismatchError('backward()', [leaf.device, gradient.device]);
    }
    const own = await gradient.writable(leaf.grad?.memoryFormat ?? leaf.memoryFormat);
    if (own !== gradient) {
      owned.add(own);
      // At once, for the next leaf may share this memory and is then its only holder.
      owned.delete(gradient);
      gradient.dispose();
    }
    arranged.set(leaf, own);
  }
  for (const [leaf, gradient] of arranged) {
    const { grad } = leaf;
    if (grad === null) {
      owned.delete(gradient);
      leaf.grad = gradient.undonated();
      // A leaf that is gone cannot dispose its gradient; the scope of the backward pass looks after it instead.
      if (leaf.isDisposed) {
        track(gradient);
      }
    } else {
      const { buffer } = gradient.storage;
      buffer.device.add(grad.storage.buffer, buffer, buffer);
      grad.replaceStorage(gradient.storage.retain());
    }
  }
}

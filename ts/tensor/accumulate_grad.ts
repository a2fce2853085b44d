/** The end of a backward pass: the gradients of the leaves are added to what their `grad` holds. */

import { checkSameDevice } from '../device/same_device.ts';
import type { Differentiable } from './graph_node.ts';
import { replaceStorages } from './replace_storages.ts';
import { confirmation } from './storage_ops.ts';

/**
 * Adds gradients to the `grad` of their leaves, in one step without a break, so that two passes at once do not lose each other's
 * sums. First everything that can fail is done on the side; then all leaves change. So a failure changes none.
 *
 * @param gradients - by leaf, on devices that are ready.
 * @param owned - tensors that the pass will dispose; those that become a `grad` leave this set.
 * @param replacing - leaves whose gradient takes the place of what their `grad` held.
 */
export function accumulateGrads<T extends Differentiable<T>>(
  gradients: ReadonlyMap<T, T>,
  owned: Set<T>,
  replacing: ReadonlySet<T>,
): void {
  const first = new Map<T, T>();
  const sums = new Map<T, T>();
  for (const [leaf, given] of gradients) {
    if (!leaf.isDisposed) {
      checkSameDevice('backward()', leaf.storage.device, given.storage.device);
    }
    const grad = leaf.gradToAddTo;
    const gradient = given.writable(grad?.memoryFormat ?? leaf.memoryFormat);
    if (gradient !== given) {
      owned.add(gradient);
      // At once, for the next leaf may share this memory and is then its only holder.
      owned.delete(given);
      given.dispose();
    }
    if (grad === null) {
      first.set(leaf, gradient);
    } else if (replacing.has(leaf)) {
      sums.set(grad, gradient);
    } else {
      const { buffer } = gradient.storage;
      // Two leaves may have been given one tensor as their grad.
      const before = sums.get(grad) ?? grad;
      buffer.device.run({ operation: 'add', a: before.storage.buffer, b: buffer, target: buffer });
      sums.set(grad, gradient);
    }
  }
  for (const [leaf, gradient] of first) {
    owned.delete(gradient);
    leaf.receiveGrad(gradient.undonated());
    // Only after a synchronous pass, which could not ask: a GPU may say later that the gradient has not been computed.
    confirmation([gradient.storage])?.catch(() => leaf.takeBackGrad(gradient));
  }
  if (sums.size > 0) {
    replaceStorages(Array.from(sums, ([grad, sum]) => [grad, sum.storage.retain()]));
  }
}

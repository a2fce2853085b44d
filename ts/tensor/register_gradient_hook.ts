/** The public side of gradient hooks. */

import { describeValue } from '../describe_value.ts';
import { addHook, type GradientOf, type HookOf, type PassOf, removeHook } from './gradient_hooks.ts';
import { isTensor, type Tensor } from './tensor.ts';

/** Takes part in every backward pass that leads to one of its leaves, and may change their gradients. */
export type GradientHook = HookOf<Tensor>;

/** A hook's part in one backward pass. */
export type GradientPass = PassOf<Tensor>;

/** A gradient that a hook gives in the place of another. */
export type HookedGradient = GradientOf<Tensor>;

/**
 * Has a hook take part in all backward passes that lead to one of these leaves, as a wrapper does that trains on several processes.
 *
 * @param leaves - parameters, for example; each may have one hook.
 * @returns ends that.
 * @throws TypeError for what is no leaf or no hook; RangeError for a leaf that has one already.
 */
export function registerGradientHook(leaves: Iterable<Tensor>, hook: GradientHook): () => void {
  const registered = [...leaves];
  const wrong: unknown = registered.find((leaf: unknown) => !isTensor(leaf) || leaf.source !== null);
  if (wrong !== undefined) {
    throw new TypeError(`registerGradientHook(): expected leaf tensors, got ${describeValue(wrong)}`);
  }
  if (typeof (hook as Partial<GradientHook> | null)?.begin !== 'function') {
    throw new TypeError(`registerGradientHook(): expected a hook with begin(), got ${describeValue(hook)}`);
  }
  addHook(registered, hook);
  return () => removeHook(registered);
}

/** Reading what a function's forward saved for its backward. */

import type { Tensor } from 'syncbn';

/** @throws Error when forward saved fewer tensors than that. */
export function savedTensor(context: { readonly savedTensors: readonly Tensor[] }, index = 0): Tensor {
  const saved = context.savedTensors[index];
  if (saved === undefined) {
    throw new Error(`expected forward to have saved ${index + 1} tensors, got ${context.savedTensors.length}`);
  }
  return saved;
}

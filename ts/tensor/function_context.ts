/** What a user's differentiable operation remembers between forward and backward. */

import { describeValue } from '../describe_value.ts';
import { isTensor, type Tensor } from './tensor.ts';

/** Carries values from `forward` to `backward`. */
export class FunctionContext {
  /** Anything that is no tensor: shapes, strides, host arrays. */
  readonly attributes: Record<string, unknown> = {};
  /** Which inputs want a gradient, in order; no others need computing. */
  readonly needsInputGrad: readonly boolean[];
  #saved: readonly Tensor[] = [];

  /** @internal */
  constructor(needsInputGrad: readonly boolean[]) {
    this.needsInputGrad = needsInputGrad;
  }

  /** Keeps the values of tensors until `backward` has run; inputs, outputs and others alike. */
  saveForBackward(...tensors: readonly Tensor[]): void {
    for (const saved of tensors as readonly unknown[]) {
      if (!isTensor(saved)) {
        throw new TypeError(
          `saveForBackward(): expected tensors, got ${describeValue(saved)}; use attributes for anything else`,
        );
      }
    }
    this.release();
    this.#saved = tensors.map((saved) => saved.detach());
  }

  /** What `saveForBackward` was given, in order; not part of the graph. */
  get savedTensors(): readonly Tensor[] {
    return this.#saved;
  }

  /** Frees what was saved. @internal */
  release(): void {
    this.#saved.forEach((saved) => saved.dispose());
    this.#saved = [];
  }
}

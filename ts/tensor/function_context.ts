/** What a user's differentiable operation remembers between forward and backward. */

import { describeValue } from '../describe_value.ts';
import { FreeCallbacks } from './free_callbacks.ts';
import { isTensor, type Tensor } from './tensor.ts';

/** Carries values from `forward` to `backward`. */
export class FunctionContext {
  /** Anything that is no tensor: shapes, strides, host arrays. */
  readonly attributes: Record<string, unknown> = {};
  /** Which inputs want a gradient, in order; no others need computing. */
  readonly needsInputGrad: readonly boolean[];
  /** @internal */
  readonly freeCallbacks: FreeCallbacks = new FreeCallbacks();
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

  /**
   * Has a function called when what this call of the operation has saved is freed: for resources of other engines, such as their
   * tensors or tapes. It is called exactly once:
   *
   * - in `backward()`, when the gradients of the inputs have been computed;
   * - when nothing is recorded, under `noGrad` for example, or when `forward` fails: at the end of `forward`;
   * - when the graph is dropped without a backward pass: with the last `dispose()`, at the end of a `scope()`, or some time after the
   *   garbage collector has found that nobody has the outputs any more;
   * - at once, when everything has been freed already.
   *
   * A `backward` that fails frees nothing, since the graph is still there. Several functions are called in the order in which they were
   * given. The tensors that `forward` returns are then handed out as other handles to the same memory, so that a function that
   * refers to one of them does not keep the graph alive.
   *
   * @param fn - synchronous: a promise that it returns is not awaited, and its rejection ignored. What it throws rejects the
   * `backward()`, or the call of the operation, in which it runs, and leaves all gradients as they were; unless that has failed already,
   * when the first error is the one told. Elsewhere, in `dispose()` for example, nobody waits for the end of a graph: there what it throws is
   * ignored, and everything else is freed.
   * @throws TypeError for what is no function.
   *
   * @example
   * ```ts
   * forward: (context, x: Tensor) => {
   *   const tape = otherEngine.record(x.dataSync());
   *   context.onFree(() => tape.dispose());
   *   …
   * }
   * ```
   */
  onFree(fn: () => void): void {
    this.freeCallbacks.add(fn);
  }

  /** Frees what was saved. @internal */
  release(): void {
    this.#saved.forEach((saved) => saved.dispose());
    this.#saved = [];
  }
}

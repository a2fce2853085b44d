/** Stochastic gradient descent with momentum, as `torch.optim.SGD`. */

import type { Parameter } from 'syncbn';

export interface SgdOptions {
  /** Learning rate. */
  readonly lr: number;
  /** Share of the previous step that is kept, in [0, 1). */
  readonly momentum: number;
}

/** `velocity = momentum · velocity + gradient`, `parameter −= lr · velocity`. */
export class Sgd {
  readonly #velocities: ReadonlyMap<Parameter, Float32Array>;
  readonly #options: SgdOptions;
  /** Where values and gradients are read to. New arrays in every step would keep the garbage collector busy, which needs a core of its own. */
  readonly #memory: readonly [values: Float32Array, gradient: Float32Array];

  constructor(parameters: Iterable<Parameter>, options: SgdOptions) {
    this.#options = options;
    this.#velocities = new Map(
      Array.from(parameters, (parameter) => [parameter, new Float32Array(parameter.shape.reduce((a, b) => a * b, 1))]),
    );
    const longest = Math.max(0, ...Array.from(this.#velocities.values(), ({ length }) => length));
    this.#memory = [new Float32Array(longest), new Float32Array(longest)];
  }

  /** Moves every parameter that has a gradient, and drops the gradients. */
  async step(): Promise<void> {
    const { lr, momentum } = this.#options;
    for (const [parameter, velocity] of this.#velocities) {
      if (parameter.grad === null) {
        continue;
      }
      const [values, gradient] = this.#memory.map((all) => all.subarray(0, velocity.length)) as [
        Float32Array,
        Float32Array,
      ];
      await Promise.all([parameter.data(values), parameter.grad.data(gradient)]);
      for (let i = 0; i < values.length; i++) {
        const moved = momentum * (velocity[i] ?? 0) + (gradient[i] ?? 0);
        velocity[i] = moved;
        values[i] = (values[i] ?? 0) - lr * moved;
      }
      await parameter.copy_(values);
      parameter.grad.dispose();
      parameter.grad = null;
    }
  }
}

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

  constructor(parameters: Iterable<Parameter>, options: SgdOptions) {
    this.#options = options;
    this.#velocities = new Map(
      Array.from(parameters, (parameter) => [parameter, new Float32Array(parameter.shape.reduce((a, b) => a * b, 1))]),
    );
  }

  /** Moves every parameter that has a gradient, and drops the gradients. */
  async step(): Promise<void> {
    const { lr, momentum } = this.#options;
    for (const [parameter, velocity] of this.#velocities) {
      if (parameter.grad === null) {
        continue;
      }
      const [values, gradient] = await Promise.all([parameter.data(), parameter.grad.data()]);
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

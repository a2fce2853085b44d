/** The modules that most functions on modules take. */

import type { Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';

/**
 * A module that takes one tensor and gives one: every batch norm, every `Sequential`, every wrapper around such a module, and networks of one's own with that
 * `forward`. A bare `Module` does not say what its `forward` takes, so it cannot be called.
 *
 * @example
 * ```ts
 * const evaluate = async (net: TensorModule, x: Tensor) => (await net.eval().forward(x)).data();
 * await evaluate(isAlone ? network : new DataParallel(network, { deviceIds }), x);
 * ```
 */
export type TensorModule = Module & {
  /** Computes the output. */
  forward(x: Tensor): Promise<Tensor>;
};

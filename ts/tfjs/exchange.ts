/** Tensors between tfjs' active backend and the library, at once: what a layer of tfjs needs, which cannot wait. */

import type * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '../index.ts';
import type { Seen } from './seen.ts';

/** How tensors of one backend become tensors of the library, and come back. */
export interface Exchange {
  /** The library's tensor of the same values, which the caller disposes. */
  receive(given: tf.Tensor, seen: Seen, requiresGrad: boolean): Tensor;
  /** The backend's tensor of the same values, as they lie in memory, in that shape. What is given stays the caller's. */
  give(made: Tensor, shape: readonly number[]): tf.Tensor;
}

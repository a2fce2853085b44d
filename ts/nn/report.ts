/** What a replica tells the module that it is a copy of. */

import type { Module } from './module.ts';
import { placeInForward } from './replica.ts';

/**
 * Tells a module what a replica of it has found out in its forward: `module.onReport(value, replicaIndex)` is called on the module that the
 * replica was copied from. What a replica assigns to its own properties is gone after the pass; this is the way for a value to stay.
 *
 * The reports of all replicas are handed over together, when the forward of every one has succeeded: in order of replicas, and of each in order
 * of calls. A pass that fails reports nothing. For a module that is no replica, since it runs on one device, `onReport` is called at once.
 *
 * @param layer - the module whose forward runs: `this`.
 * @param value - numbers, strings, arrays or objects; tensors of a replica are disposed at the end of the pass.
 * @throws Error after the pass that the replica was made for.
 *
 * @example
 * ```ts
 * class Counting extends Module {
 *   samples = 0;
 *   async forward(x: Tensor): Promise<Tensor> {
 *     reportToOriginal(this, x.shape[0]);
 *     return this.inner.forward(x);
 *   }
 *   override onReport(samples: unknown): void {
 *     this.samples += Number(samples);
 *   }
 * }
 * ```
 */
export function reportToOriginal(layer: Module, value: unknown): void {
  const place = placeInForward(layer);
  if (place === null) {
    layer.onReport(value, 0);
  } else {
    place.pass.reports.push({ module: place.original, replica: place.index, value });
  }
}

/** What state dicts hold, and what loading one takes and tells. */

import type { Tensor } from '../tensor/tensor.ts';

/** Tensors and counters by dotted path, for example `layer1.0.bn1.weight`. */
export type StateDict = Record<string, Tensor | number>;

/**
 * What a module takes in: also what readers of checkpoints give, arrays of the right length for tensors, numbers for tensors of shape
 * [], and BigInts, tensors and arrays of one element for counters.
 */
export type LoadableStateDict = Readonly<Record<string, Tensor | Float32Array | BigInt64Array | number | bigint>>;

/** What {@link Module.loadStateDict} takes besides the dict. */
export interface LoadStateDictOptions {
  /** Whether missing and unexpected keys are errors; default `true`. Mismatches always are. */
  readonly strict?: boolean;
}

/** Keys that did not match; both empty after a strict load. */
export interface LoadStateDictResult {
  readonly missingKeys: readonly string[];
  readonly unexpectedKeys: readonly string[];
}

/** What to do about tensors on different devices, when replicas run. */

import { doReplicasRun } from '../tensor/concurrent_replicas.ts';
import type { Module } from './module.ts';
import { replicaPlace } from './replica.ts';

/**
 * @param layer - that was called, which is no replica's when it was reached by a way that replicas do not share; `null`: none.
 * @returns the remedy for the text of a `DeviceMismatchError`; `undefined` for the usual one, which is to move the tensors.
 */
export function deviceRemedy(layer: Module | null): string | undefined {
  if (!doReplicasRun()) {
    return undefined;
  }
  if (layer === null) {
    return 'give every replica a copy of the tensors of a module: make them parameters, or buffers by registerBuffer()';
  }
  return replicaPlace(layer) === null
    ? 'a replica has called a layer of the original model in the place of its own copy: inside forward() reach layers by `this`, ' +
        'where forward() is a method and no function made in the constructor, not by a variable of a closure; hold several in a ' +
        'ModuleList or ModuleDict, not in an array'
    : undefined;
}

/** The frozen twin of a batch norm layer: the same constants, and the user's own properties, in an object of another class. */

import type { BatchNorm } from '../nn/batch_norm.ts';
import {
  type FrozenBatchNorm,
  FrozenBatchNorm1d,
  FrozenBatchNorm2d,
  FrozenBatchNorm3d,
} from '../nn/frozen_batch_norm.ts';
import type { Module } from '../nn/module.ts';
import { buffersKey } from '../nn/module_tree.ts';
import { filledVector } from '../nn/norm_base.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { layerClasses, originKey, ownBehaviour, type Twin } from './twin.ts';

const frozenClasses = [FrozenBatchNorm1d, FrozenBatchNorm2d, FrozenBatchNorm3d] as const;

/** What layers that train have and frozen ones do not, or have as something else. */
const notTaken: ReadonlySet<string | symbol> = new Set<string | symbol>([
  ...['weight', 'bias', 'runningMean', 'runningVar', 'numBatchesTracked'],
  ...[
    'momentum',
    'affine',
    'trackRunningStats',
    'runningVarMode',
    'syncTimeout',
    'onTimeout',
    'epsMode',
    'processGroup',
  ],
  buffersKey,
  originKey,
]);

/**
 * The frozen twin of a plain or synchronized layer. Running statistics stay the same tensors; weight and bias are tensors of the same
 * memory, which the parameters, where an optimizer still holds them, change no longer.
 *
 * @param made - gets the tensors that were made, for a caller who does not use the twin.
 * @throws DisposedError, OutOfMemoryError
 */
export function frozenTwin(module: Module, made: Tensor[]): Twin {
  for (const [rank, [plain, synchronized]] of layerClasses.entries()) {
    const Frozen = frozenClasses[rank];
    if (module instanceof plain && Frozen !== undefined) {
      const base = module instanceof synchronized ? synchronized : plain;
      const reason = ownBehaviour(module, base, Frozen) ?? missingStatistics(module);
      return reason === null ? { twin: freeze(module, Frozen.prototype, made) } : { reason };
    }
  }
  return null;
}

function missingStatistics({ runningMean, runningVar }: BatchNorm): string | null {
  return runningMean === null || runningVar === null
    ? 'it keeps no running statistics (trackRunningStats: false), which a frozen layer normalizes with; train one that does'
    : null;
}

function freeze(layer: BatchNorm, prototype: FrozenBatchNorm, made: Tensor[]): FrozenBatchNorm {
  const { runningMean, runningVar, numFeatures } = layer;
  if (runningMean === null || runningVar === null) {
    throw new RangeError('expected a layer with running statistics');
  }
  const constant = (parameter: Tensor | null, otherwise: number): Tensor => {
    const vector = parameter?.detach() ?? filledVector(numFeatures, otherwise, runningMean.device);
    made.push(vector);
    return vector;
  };
  const [weight, bias] = [constant(layer.weight, 1), constant(layer.bias, 0)];
  const frozen = Object.create(prototype) as FrozenBatchNorm;
  for (const key of Reflect.ownKeys(layer)) {
    if (!notTaken.has(key)) {
      Object.defineProperty(frozen, key, Object.getOwnPropertyDescriptor(layer, key) ?? {});
    }
  }
  Object.defineProperty(frozen, buffersKey, { value: new Map(), enumerable: true });
  frozen.registerVectors({ weight, bias, runningMean, runningVar });
  // Buffers of the user's own.
  for (const [name, value] of layer[buffersKey]) {
    if (!frozen[buffersKey].has(name) && name !== 'num_batches_tracked') {
      frozen[buffersKey].set(name, value);
    }
  }
  return frozen;
}

/**
 * The order of updates of running statistics. A GPU may confirm an update long after the call, where memory of others takes part; the
 * next batch begins with the statistics after it.
 */

import { isSynchronous } from '../device/awaited.ts';
import { type Replacement, replaceStorages } from '../tensor/replace_storages.ts';
import type { Storage } from '../tensor/storage.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { RunningStatistics } from './batch_norm_operation.ts';

/** By the running mean, or by the layer that has none: the update that is not confirmed yet. */
const unconfirmed = new WeakMap<object, Promise<void>>();

/**
 * Runs `work` on running statistics, after the updates of calls before. A synchronous call takes its update for confirmed, and takes it back when
 * the GPU says otherwise: see {@link replaceStorages}.
 * @param key - the running mean; for a layer without one, the layer.
 * @param isUpdate - whether the next call has to wait for the result.
 */
export function inOrderOfUpdates<T>(key: object, isUpdate: boolean, work: () => T | Promise<T>): T | Promise<T> {
  const earlier = unconfirmed.get(key);
  if (earlier !== undefined) {
    if (isSynchronous()) {
      throw new Error(
        'batch_norm: expected no update of the running statistics to be under way in a synchronous call, but a GPU has not confirmed that of an ' +
          'asynchronous call before; await that first',
      );
    }
    return earlier.then(() => inOrderOfUpdates(key, isUpdate, work));
  }
  const result = work();
  if (isUpdate && result instanceof Promise) {
    const done = (): void => void unconfirmed.delete(key);
    unconfirmed.set(key, result.then(done, done));
  }
  return result;
}

/** The memory with which an update begins. */
export function memoryOf(running: RunningStatistics<Tensor>): RunningStatistics<Storage> {
  return { mean: running.mean.storage, variance: running.variance.storage };
}

/**
 * Gives running statistics the values after a batch, except where the program has written others since the update began: those came
 * after the batch, and stay.
 * @param next - the values, whose references pass to the tensors.
 * @param undo - takes back what goes with the update, when a GPU says after a synchronous call that it has not computed the values.
 * @returns whether the program has written both.
 * @throws DisposedError where one has been disposed; nothing has changed then, and the references are still the caller's.
 */
export function renewUnlessWritten(
  running: RunningStatistics<Tensor>,
  begun: RunningStatistics<Storage>,
  next: RunningStatistics<Storage>,
  undo?: () => void,
): boolean {
  const isMeanWritten = isWritten(running.mean, begun.mean);
  const isVarianceWritten = isWritten(running.variance, begun.variance);
  const replacements: readonly Replacement[] = [
    [isMeanWritten ? null : running.mean, next.mean],
    [isVarianceWritten ? null : running.variance, next.variance],
  ];
  replaceStorages(replacements, undo);
  return isMeanWritten && isVarianceWritten;
}

function isWritten(tensor: Tensor, begun: Storage): boolean {
  return !tensor.isDisposed && tensor.storage !== begun;
}

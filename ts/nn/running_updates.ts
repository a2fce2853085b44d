/**
 * The order of updates of running statistics. A GPU may confirm an update long after the call, where memory of others takes part; the
 * next batch begins with the statistics after it.
 */

import { replaceStorages } from '../tensor/replace_storages.ts';
import type { Storage } from '../tensor/storage.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { RunningStatistics } from './batch_norm_operation.ts';

/** By the running mean, or by the layer that has none: the update that is not confirmed yet. */
const unconfirmed = new WeakMap<object, Promise<void>>();

/**
 * Runs `work` on running statistics, after the updates of calls before.
 * @param key - the running mean; for a layer without one, the layer.
 * @param isUpdate - whether the next call has to wait for the result.
 */
export function inOrderOfUpdates<T>(key: object, isUpdate: boolean, work: () => T | Promise<T>): T | Promise<T> {
  const earlier = unconfirmed.get(key);
  if (earlier !== undefined) {
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
 * @returns whether the program has written both.
 * @throws DisposedError where one has been disposed; nothing has changed then, and the references are still the caller's.
 */
export function renewUnlessWritten(
  running: RunningStatistics<Tensor>,
  begun: RunningStatistics<Storage>,
  next: RunningStatistics<Storage>,
): boolean {
  const isMeanWritten = isWritten(running.mean, begun.mean);
  const isVarianceWritten = isWritten(running.variance, begun.variance);
  replaceStorages([
    [isMeanWritten ? null : running.mean, next.mean],
    [isVarianceWritten ? null : running.variance, next.variance],
  ]);
  return isMeanWritten && isVarianceWritten;
}

function isWritten(tensor: Tensor, begun: Storage): boolean {
  return !tensor.isDisposed && tensor.storage !== begun;
}

/** Batch norm as a function: PyTorch's `torch.nn.functional.batch_norm`. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import type { Numerics } from '../device/device.ts';
import { nextInOrder } from '../tensor/graph_node.ts';
import { formatShape } from '../tensor/shape.ts';
import { whenConfirmed } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { RunningVarMode } from './batch_norm.ts';
import { checkArguments, checkBatchSize, checkMomentum, checkOneOf, checkRenewable } from './batch_norm_checks.ts';
import { batchNormOperation, discardBatch } from './batch_norm_operation.ts';
import { onDevice } from './functional_support.ts';
import { inOrderOfUpdates, memoryOf, renewUnlessWritten } from './running_updates.ts';

/** Options of {@link batchNorm}, under PyTorch's names and with its defaults. */
export interface BatchNormFunctionOptions {
  readonly weight?: Tensor | null;
  readonly bias?: Tensor | null;
  /** Whether the statistics are those of the batch; default `false`. */
  readonly training?: boolean;
  /** Weight of the new value in the running statistics; default 0.1. */
  readonly momentum?: number;
  /** Default 1e-5. */
  readonly eps?: number;
  /** Which variance of the batch goes into `runningVar`: `'unbiased'` (default), as PyTorch does, or `'biased'`, as Keras does. */
  readonly runningVar?: RunningVarMode;
  /** Default `'stable'`. */
  readonly numerics?: Numerics;
}

const batchNormFunctionOptions: KnownOptions<BatchNormFunctionOptions> = {
  weight: 'object',
  bias: 'object',
  training: 'boolean',
  momentum: 'number',
  eps: 'number',
  runningVar: 'string',
  numerics: 'string',
};

/** {@link batchNorm} of `functional.ts`. */
export function batchNorm(
  x: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options: BatchNormFunctionOptions = {},
  ...extra: never[]
): Tensor | Promise<Tensor> {
  checkOptions('functional.batchNorm()', options, batchNormFunctionOptions, extra);
  const { weight = null, bias = null, training = false, momentum = 0.1, eps = 1e-5, numerics = 'stable' } = options;
  const { runningVar: mode = 'unbiased' } = options;
  const sequence = nextInOrder();
  return onDevice('batchNorm', { x }, () => {
    if (x.shape.length < 2) {
      throw new RangeError(
        `expected at least 2D input (got ${x.shape.length}D input): (N, C, …), got ${formatShape(x.shape)}`,
      );
    }
    if ((runningMean === null) !== (runningVar === null)) {
      throw new RangeError('expected running_mean and running_var, or null for both, got one of them');
    }
    if (runningMean === null && !training) {
      throw new RangeError(
        'running_mean must be defined in evaluation mode: pass runningMean and runningVar, or training: true',
      );
    }
    checkMomentum(momentum, 'number');
    checkOneOf('runningVar', mode, ['biased', 'unbiased']);
    if (typeof training !== 'boolean') {
      throw new TypeError(`functional.batchNorm(): expected training to be a boolean, got ${describeValue(training)}`);
    }
    checkArguments(
      x,
      [
        ['running_mean', runningMean],
        ['running_var', runningVar],
        ['weight', weight],
        ['bias', bias],
      ],
      { eps, momentum, numerics, usesBatchStatistics: training },
    );
    if (training) {
      checkBatchSize(x.shape, { otherThanBatchStatistics: ', or training: false with runningMean and runningVar' });
      if (runningMean !== null && runningVar !== null) {
        checkRenewable('functional.batchNorm()', runningMean, runningVar);
      }
    }
    const running = runningMean && runningVar && { mean: runningMean, variance: runningVar };
    const factor = training ? momentum : null;
    return inOrderOfUpdates(runningMean ?? x, training, () => {
      const begun = running && memoryOf(running);
      const { y, next } = batchNormOperation({
        x,
        weight,
        bias,
        running,
        usesBatchStatistics: training,
        factor,
        correction: mode === 'biased' ? 0 : 1,
        eps,
        numerics,
        sequence,
      });
      const keep = (): Tensor => {
        if (running !== null && begun !== null && next !== null) {
          renewUnlessWritten(running, begun, next);
        }
        return y;
      };
      return whenConfirmed([y.storage, next?.mean, next?.variance], keep, () => discardBatch(y, next));
    });
  });
}

/** Batch normalization layers, as `torch.nn.BatchNorm1d/2d/3d`. */

import { describeValue } from '../describe_value.ts';
import type { KnownOptions } from '../check_options.ts';
import { Parameter } from '../tensor/parameter.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { replaceStorages } from '../tensor/replace_storages.ts';
import { whenConfirmed } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  checkBatchSize,
  checkMomentum,
  checkOneOf,
  checkRank1d,
  checkRank2d,
  checkRank3d,
} from './batch_norm_checks.ts';
import { batchNormOperation, discardBatch, type RunningStatistics } from './batch_norm_operation.ts';
import { refuseDuringForward } from './forward_passes.ts';
import { buffersKey, checkParameter } from './module_tree.ts';
import { replicaPlace } from './replica.ts';
import { pythonBoolean, pythonFloat } from './module_repr.ts';
import { NormBase, type NormOptions } from './norm_base.ts';
import { refill, type Refill } from './refill.ts';
import { inOrderOfUpdates, memoryOf, renewUnlessWritten } from './running_updates.ts';
import { warnIfPlainAmongReplicas } from './synchronized_batch_norm_place.ts';

/** Which variance of a batch goes into the running one: Σ(x − mean)² divided by n, or by n − 1. */
export type RunningVarMode = 'biased' | 'unbiased';

/** Options of every batch norm layer. */
export interface BatchNormOptions extends NormOptions {
  /** Weight of the new value in the running statistics, default 0.1; `null`: cumulative average. */
  readonly momentum?: number | null;
  /** Whether there are a learned weight and bias; default `true`. */
  readonly affine?: boolean;
  /** `false`: weight alone; default `true`. Means nothing without `affine`. */
  readonly bias?: boolean;
  /** `false`: bias alone, as Keras' `scale: false`; default `true`. Means nothing without `affine`. */
  readonly weight?: boolean;
  /** Whether there are running statistics for evaluation; default `true`. */
  readonly trackRunningStats?: boolean;
  /**
   * Which variance of a batch goes into the running one: `'unbiased'` (default), divided by n - 1 as PyTorch does, or `'biased'`, divided
   * by n as Keras and TensorFlow do.
   */
  readonly runningVar?: RunningVarMode;
}

/** In PyTorch's order. */
const batchNormOptions: KnownOptions<BatchNormOptions> = {
  eps: 'number',
  momentum: 'number',
  affine: 'boolean',
  trackRunningStats: 'boolean',
  device: 'string',
  bias: 'boolean',
  weight: 'boolean',
  runningVar: 'string',
  numerics: 'string',
};

/**
 * What the layers of all ranks share.
 *
 * y = (x − mean) / √(var + eps) · weight + bias, per channel. Training: mean and biased variance of the batch, and
 * running = (1 − momentum) · running + momentum · batch, with the unbiased variance unless `runningVar` says otherwise. Evaluation: the
 * running ones.
 *
 * Shapes: x and y (N, C, …), all others (C).
 *
 * Source: S. Ioffe and C. Szegedy, Batch Normalization, 2015; `torch.nn.modules.batchnorm._BatchNorm`.
 */
export abstract class BatchNorm extends NormBase {
  momentum: number | null;
  readonly affine: boolean;
  /** Set to `false` later, the buffers stay: training leaves them alone, evaluation uses them. */
  trackRunningStats: boolean;
  /** The option `runningVar`; the property of that name is the buffer. */
  runningVarMode: RunningVarMode;
  weight: Parameter | null;
  bias: Parameter | null;

  /**
   * @param numFeatures - C, at least 1 and less than 2²⁸.
   * @throws TypeError or RangeError for arguments of the wrong kind, UnknownDeviceError
   */
  constructor(numFeatures: number, options: BatchNormOptions = {}, ...extra: never[]) {
    super(numFeatures, options, ...extra);
    const { momentum = 0.1, affine = true, weight = true, bias = true } = options;
    const { trackRunningStats = true, runningVar = 'unbiased' } = options;
    checkMomentum(momentum);
    checkBooleans({ affine, weight, bias, trackRunningStats });
    checkOneOf('runningVar', runningVar, ['biased', 'unbiased']);
    const filled = (value: number): Tensor => this.filled(value, options);
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    this.runningVarMode = runningVar;
    // Donated, so that the parameter alone holds its memory.
    this.weight = affine && weight ? new Parameter(filled(1).donate()) : null;
    this.bias = affine && bias ? new Parameter(filled(0).donate()) : null;
    this.setBuffer('running_mean', trackRunningStats ? filled(0) : null);
    this.setBuffer('running_var', trackRunningStats ? filled(1) : null);
    this.setBuffer('num_batches_tracked', trackRunningStats ? 0 : null);
  }

  /** Batches seen in training; `null` where nothing is tracked. */
  get numBatchesTracked(): number | null {
    return this[buffersKey].get('num_batches_tracked') as number | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  set numBatchesTracked(value: number | null) {
    this.setBuffer('num_batches_tracked', value);
  }

  /**
   * Forgets the batches seen: running mean 0, running variance 1, counter 0. Does nothing unless `trackRunningStats`.
   * @throws OutOfMemoryError, ForwardInProgressError; nothing has changed then.
   */
  resetRunningStats(): void {
    this.reset('resetRunningStats()', []);
  }

  /**
   * Forgets what was learned too: weight 1, bias 0, and {@link BatchNorm.resetRunningStats}. Parameters stay the same
   * objects and keep their gradients.
   * @throws OutOfMemoryError, ForwardInProgressError; nothing has changed then.
   */
  resetParameters(): void {
    this.reset('resetParameters()', [
      [this.weight, 1],
      [this.bias, 0],
    ]);
  }

  override extraRepr(): string {
    const { numFeatures, eps, momentum, affine, trackRunningStats } = this;
    return (
      `${numFeatures}, eps=${pythonFloat(eps)}, momentum=${pythonFloat(momentum)}, affine=${pythonBoolean(affine)}, ` +
      `bias=${pythonBoolean(this.bias !== null)}, track_running_stats=${pythonBoolean(trackRunningStats)}` +
      // What PyTorch does not have is said where it differs from PyTorch.
      (affine && this.weight === null ? ', weight=False' : '') +
      (this.runningVarMode === 'biased' ? ', running_var=biased' : '')
    );
  }

  /** @internal */
  override parameterNames(): readonly string[] {
    return ['weight', 'bias'];
  }

  /** Checkpoints from before PyTorch 0.4 have no counter. @internal */
  override toleratesMissing(name: string): boolean {
    return name === 'num_batches_tracked';
  }

  /** @internal */
  override knownOptions(): KnownOptions<BatchNormOptions> {
    return batchNormOptions;
  }

  private reset(operation: string, parameters: readonly Refill[]): void {
    refuseDuringForward(this, operation);
    if (!this.trackRunningStats) {
      refill(parameters);
      return;
    }
    refill([...parameters, [this.runningMean, 0], [this.runningVar, 1]]);
    if (this.numBatchesTracked !== null) {
      this.numBatchesTracked = 0;
    }
  }

  /** Whether the batch's own statistics are used: in training, and in evaluation when there are no others. */
  get usesBatchStatistics(): boolean {
    return this.training || (this.runningMean === null && this.runningVar === null);
  }

  /** How a batch without a variance can be normalized, as `checkBatchSize` says it. @internal */
  get otherThanBatchStatistics(): string {
    return this.runningMean === null && this.runningVar === null
      ? ': the layer keeps no running statistics (trackRunningStats: false), so that it needs those of the batch in eval() too'
      : ', or eval() to normalize with the running statistics';
  }

  /**
   * Weight of the next batch in the running statistics, `null` when they stay. The batch is counted before its weight is
   * computed, so the first of a cumulative average has weight 1.
   * @internal
   */
  get averageFactor(): number | null {
    const { momentum, numBatchesTracked } = this;
    if (!this.training || !this.trackRunningStats) {
      return null;
    }
    return momentum ?? (numBatchesTracked === null ? 0 : 1 / (numBatchesTracked + 1));
  }

  /** What is subtracted from n in the divisor of the variance that goes into the running one. @internal */
  get varianceCorrection(): 0 | 1 {
    checkOneOf('runningVarMode', this.runningVarMode, ['biased', 'unbiased']);
    return this.runningVarMode === 'biased' ? 0 : 1;
  }

  /** Everything about an input that does not depend on other replicas. Changes nothing. @internal */
  checkInput(x: Tensor): void {
    this.checkArguments(x, this);
    this.checkParameters();
  }

  /** Replicas have copies of the parameters, which are plain tensors. @throws TypeError */
  private checkParameters(): void {
    const { weight, bias } = this;
    const isPlain = (vector: Tensor | null): boolean => vector !== null && !(vector instanceof Parameter);
    if ((isPlain(weight) || isPlain(bias)) && replicaPlace(this) === null) {
      checkParameter(this, isPlain(weight) ? 'weight' : 'bias', '');
    }
  }

  /** @internal */
  override beforeForward(): void {
    warnIfPlainAmongReplicas(this);
  }

  /** Normalizes with the statistics of this batch, or the running ones. @internal */
  override forwardLocally(x: Tensor, sequence: number): Tensor | Promise<Tensor> {
    return inOrderOfUpdates(this.runningMean ?? this, this.averageFactor !== null, () => {
      this.checkInput(x);
      const { weight, bias, usesBatchStatistics, averageFactor: factor, eps, numerics } = this;
      const correction = this.varianceCorrection;
      if (usesBatchStatistics) {
        checkBatchSize(x.shape, this);
      }
      const running = this.runningStatistics();
      const begun = running && memoryOf(running);
      const { numBatchesTracked: count } = this;
      const { y, next } = batchNormOperation({
        x,
        weight,
        bias,
        running,
        usesBatchStatistics,
        factor,
        correction,
        eps,
        numerics,
        sequence,
      });
      const keep = (): Tensor => {
        const isReset = running && begun && next && renewUnlessWritten(running, begun, next, () => this.uncount());
        // Who resets the layer writes both statistics, and sets a counter to 0 that may have been 0.
        if (factor !== null && count !== null && this.numBatchesTracked === count && isReset !== true) {
          this.numBatchesTracked = count + 1;
        }
        return y;
      };
      return whenConfirmed([y.storage, next?.mean, next?.variance], keep, () => discardBatch(y, next));
    });
  }

  /**
   * Counts a batch and takes over the running statistics after it.
   * @param next - their memory, whose references pass to the buffers; `null` after an empty batch, which changes none.
   * @throws DisposedError where a buffer has been disposed, as those of a replica are at the end of its pass. Nothing has changed then,
   * and the references are still the caller's.
   * @internal
   */
  commitBatch(next: RunningStatistics<Storage> | null): void {
    if (next !== null) {
      replaceStorages([
        [this.runningMean, next.mean],
        [this.runningVar, next.variance],
      ]);
    }
    if (this.numBatchesTracked !== null) {
      this.numBatchesTracked += 1;
    }
  }

  /** Takes back that a batch was counted. */
  private uncount(): void {
    const { numBatchesTracked: count } = this;
    if (count !== null && count > 0) {
      this.numBatchesTracked = count - 1;
    }
  }

  /** @throws RangeError when one of the two was taken away. @internal */
  runningStatistics(): RunningStatistics<Tensor> | null {
    const { runningMean: mean, runningVar: variance } = this;
    if (mean !== null && variance !== null) {
      return { mean, variance };
    }
    if (mean !== variance) {
      throw new RangeError('batch_norm: expected running_mean and running_var, or neither, got one of them');
    }
    return null;
  }
}

/** Batch norm of (N, C) or (N, C, L); see {@link BatchNorm}. */
export class BatchNorm1d extends BatchNorm {
  static readonly typeName: string = 'BatchNorm1d';

  protected override checkRank(shape: Shape): void {
    checkRank1d(shape);
  }
}

/** Batch norm of (N, C, H, W); see {@link BatchNorm}. */
export class BatchNorm2d extends BatchNorm {
  static readonly typeName: string = 'BatchNorm2d';

  protected override checkRank(shape: Shape): void {
    checkRank2d(shape);
  }
}

/** Batch norm of (N, C, D, H, W); see {@link BatchNorm}. */
export class BatchNorm3d extends BatchNorm {
  static readonly typeName: string = 'BatchNorm3d';

  protected override checkRank(shape: Shape): void {
    checkRank3d(shape);
  }
}

function checkBooleans(options: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(options)) {
    if (typeof value !== 'boolean') {
      throw new TypeError(`${name}: expected a boolean, got ${describeValue(value)}`);
    }
  }
}

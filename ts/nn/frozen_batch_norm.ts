/** Batch normalization that learns nothing: torchvision's `FrozenBatchNorm2d`. */

import type { KnownOptions } from '../check_options.ts';
import type { Shape } from '../tensor/shape.ts';
import { whenConfirmed } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkRank1d, checkRank2d, checkRank3d } from './batch_norm_checks.ts';
import { batchNormOperation } from './batch_norm_operation.ts';
import { pythonFloat, typeNameOf } from './module_repr.ts';
import { buffersKey } from './module_tree.ts';
import { NormBase, type NormOptions } from './norm_base.ts';
import { placeInForward } from './replica.ts';

/** Options of every frozen layer. */
export type FrozenBatchNormOptions = NormOptions;

const frozenBatchNormOptions: KnownOptions<FrozenBatchNormOptions> = {
  eps: 'number',
  device: 'string',
  numerics: 'string',
};

/**
 * What the frozen layers of all ranks share.
 *
 * y = (x − running_mean) / √(running_var + eps) · weight + bias, per channel, whether `train()` or `eval()` was called. All four are
 * buffers: the layer has no parameters, and nothing changes them but `loadStateDict()` and `copy_()`. Gradients flow back to x.
 * A `num_batches_tracked` in a state dict, which layers that train have, is passed over.
 *
 * Shapes: x and y (N, C, …), all others (C).
 *
 * Source: `torchvision.ops.FrozenBatchNorm2d`. Its results are those of a `BatchNorm*` in evaluation, to the bit.
 */
export abstract class FrozenBatchNorm extends NormBase {
  /**
   * @param numFeatures - C, at least 1 and less than 2²⁸.
   * @throws TypeError or RangeError for arguments of the wrong kind, UnknownDeviceError
   */
  constructor(numFeatures: number, options: FrozenBatchNormOptions = {}, ...extra: never[]) {
    super(numFeatures, options, ...extra);
    const filled = (value: number): Tensor => this.filled(value, options);
    this.registerVectors({ weight: filled(1), bias: filled(0), runningMean: filled(0), runningVar: filled(1) });
  }

  /** The buffer `weight`, of shape (C). */
  override get weight(): Tensor | null {
    return this[buffersKey].get('weight') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  override set weight(value: Tensor | null) {
    this.setBuffer('weight', value);
  }

  /** The buffer `bias`, of shape (C). */
  override get bias(): Tensor | null {
    return this[buffersKey].get('bias') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  override set bias(value: Tensor | null) {
    this.setBuffer('bias', value);
  }

  override extraRepr(): string {
    return `${this.numFeatures}, eps=${pythonFloat(this.eps)}`;
  }

  /** @internal */
  override ignoredNames(): readonly string[] {
    return ['num_batches_tracked'];
  }

  /** Makes the buffers, in torchvision's order. @internal */
  registerVectors(vectors: FrozenVectors): void {
    this.setBuffer('weight', vectors.weight);
    this.setBuffer('bias', vectors.bias);
    this.setBuffer('running_mean', vectors.runningMean);
    this.setBuffer('running_var', vectors.runningVar);
  }

  /** @internal */
  override knownOptions(): KnownOptions<FrozenBatchNormOptions> {
    return frozenBatchNormOptions;
  }

  /** @internal */
  override beforeForward(): void {
    placeInForward(this);
  }

  /** @internal */
  override forwardLocally(x: Tensor, sequence: number): Tensor | Promise<Tensor> {
    const { weight, bias, runningMean, runningVar, eps, numerics } = this;
    this.checkArguments(x, { eps, momentum: null, numerics, usesBatchStatistics: false });
    if (runningMean === null || runningVar === null) {
      throw new RangeError(`${typeNameOf(this)}: expected running_mean and running_var, got null for one of them`);
    }
    const { y } = batchNormOperation({
      x,
      weight,
      bias,
      running: { mean: runningMean, variance: runningVar },
      usesBatchStatistics: false,
      factor: null,
      correction: 1,
      eps,
      numerics,
      sequence,
    });
    return whenConfirmed(
      [y.storage],
      () => y,
      () => y.dispose(),
    );
  }
}

/** The buffers of a frozen layer, all of C values. */
export interface FrozenVectors {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
}

/** {@link FrozenBatchNorm} of (N, C) or (N, C, L). */
export class FrozenBatchNorm1d extends FrozenBatchNorm {
  static readonly typeName: string = 'FrozenBatchNorm1d';

  protected override checkRank(shape: Shape): void {
    checkRank1d(shape);
  }
}

/**
 * {@link FrozenBatchNorm} of (N, C, H, W).
 *
 * @example
 * ```ts
 * const bn = new FrozenBatchNorm2d(64);
 * await bn.loadStateDict(checkpoint); // weight, bias, running_mean, running_var
 * const y = await bn.train().forward(x); // as in evaluation
 * ```
 */
export class FrozenBatchNorm2d extends FrozenBatchNorm {
  static readonly typeName: string = 'FrozenBatchNorm2d';

  protected override checkRank(shape: Shape): void {
    checkRank2d(shape);
  }
}

/** {@link FrozenBatchNorm} of (N, C, D, H, W). */
export class FrozenBatchNorm3d extends FrozenBatchNorm {
  static readonly typeName: string = 'FrozenBatchNorm3d';

  protected override checkRank(shape: Shape): void {
    checkRank3d(shape);
  }
}

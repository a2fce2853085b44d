/** Batch normalization that learns nothing: torchvision's `FrozenBatchNorm2d`. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { awaited } from '../device/awaited.ts';
import { computedAtOnce } from '../device/calling_thread.ts';
import type { Numerics } from '../device/device.ts';
import { deviceByName } from '../device/registry.ts';
import { tensor } from '../tensor/create.ts';
import { nextInOrder } from '../tensor/graph_node.ts';
import type { Shape } from '../tensor/shape.ts';
import { whenConfirmed } from '../tensor/storage_ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  checkArguments,
  checkEps,
  checkNumChannels,
  checkNumerics,
  checkNumFeatures,
  checkRank1d,
  checkRank2d,
  checkRank3d,
  checkTensor,
} from './batch_norm_checks.ts';
import { batchNormOperation } from './batch_norm_operation.ts';
import { Module } from './module.ts';
import { pythonFloat, typeNameOf } from './module_repr.ts';
import { buffersKey } from './module_tree.ts';
import { placeInForward } from './replica.ts';

/** Options of every frozen layer. */
export interface FrozenBatchNormOptions {
  /** Added to the variance; default 1e-5. */
  readonly eps?: number;
  /** As in `BatchNormOptions`; default `'stable'`. */
  readonly numerics?: Numerics;
  /** Where the buffers are made; default `'cpu'`. */
  readonly device?: string;
}

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
export abstract class FrozenBatchNorm extends Module {
  /** C, the number of channels. */
  readonly numFeatures: number;
  eps: number;
  numerics: Numerics;

  /**
   * @param numFeatures - C, at least 1 and less than 2²⁸.
   * @throws TypeError or RangeError for arguments of the wrong kind, UnknownDeviceError
   */
  constructor(numFeatures: number, options: FrozenBatchNormOptions = {}, ...extra: never[]) {
    super();
    checkOptions(`new ${typeNameOf(this)}()`, options, frozenBatchNormOptions, extra);
    const { eps = 1e-5, numerics = 'stable', device = 'cpu' } = options;
    checkNumFeatures(numFeatures);
    checkEps(eps, false);
    checkNumerics(numerics, deviceByName(device));
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.numerics = numerics;
    const filled = (value: number): Tensor => filledVector(numFeatures, value, device);
    this.registerVectors({ weight: filled(1), bias: filled(0), runningMean: filled(0), runningVar: filled(1) });
  }

  /** The buffer `weight`, of shape (C). */
  get weight(): Tensor | null {
    return this[buffersKey].get('weight') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  set weight(value: Tensor | null) {
    this.setBuffer('weight', value);
  }

  /** The buffer `bias`, of shape (C). */
  get bias(): Tensor | null {
    return this[buffersKey].get('bias') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  set bias(value: Tensor | null) {
    this.setBuffer('bias', value);
  }

  /** The buffer `running_mean`, of shape (C). */
  get runningMean(): Tensor | null {
    return this[buffersKey].get('running_mean') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  set runningMean(value: Tensor | null) {
    this.setBuffer('running_mean', value);
  }

  /** The buffer `running_var`, of shape (C). */
  get runningVar(): Tensor | null {
    return this[buffersKey].get('running_var') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  set runningVar(value: Tensor | null) {
    this.setBuffer('running_var', value);
  }

  /**
   * Normalizes a batch with constants; keeps its memory format.
   * @throws RangeError for a wrong rank, channel count or eps; DeviceMismatchError; DisposedError; OutOfMemoryError.
   */
  async forward(x: Tensor): Promise<Tensor> {
    placeInForward(this);
    const device = checkTensor(x, 'the input');
    const sequence = nextInOrder();
    return awaited([device], () => this.normalized(x, sequence));
  }

  /** {@link FrozenBatchNorm.forward} at once: see `BatchNorm.forwardSync`. @throws as there */
  forwardSync(x: Tensor): Tensor {
    placeInForward(this);
    const device = checkTensor(x, 'the input');
    return computedAtOnce(device, 'forwardSync()', 'await forward()', () => this.normalized(x, nextInOrder()));
  }

  override extraRepr(): string {
    return `${this.numFeatures}, eps=${pythonFloat(this.eps)}`;
  }

  /** Not unless somebody has put another `forward` in place of the layer's own. @internal */
  override mayKeepTensors(): boolean {
    return this.forward !== FrozenBatchNorm.prototype.forward;
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

  /** @throws RangeError unless the layer takes inputs of this rank. */
  protected abstract checkRank(shape: Shape): void;

  private normalized(x: Tensor, sequence: number): Tensor | Promise<Tensor> {
    const { weight, bias, runningMean, runningVar, eps, numerics, numFeatures } = this;
    this.checkRank(x.shape);
    const vectors = [
      ['running_mean', runningMean],
      ['running_var', runningVar],
      ['weight', weight],
      ['bias', bias],
    ] as const;
    checkArguments(x, vectors, { eps, momentum: null, numerics, usesBatchStatistics: false }, this);
    checkNumChannels(x.shape, numFeatures);
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

/** C times the same value. */
export function filledVector(length: number, value: number, device: string): Tensor {
  return tensor(new Float32Array(length).fill(value), [length], { device });
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

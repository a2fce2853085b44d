/** What layers that learn and frozen ones have in common, as PyTorch's `_NormBase`. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { awaited } from '../device/awaited.ts';
import { computedAtOnce } from '../device/calling_thread.ts';
import type { DeviceName, Numerics } from '../device/device.ts';
import { deviceByName } from '../device/registry.ts';
import { tensor } from '../tensor/create.ts';
import { nextInOrder } from '../tensor/graph_node.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  checkArguments,
  checkEps,
  checkNumChannels,
  checkNumerics,
  checkNumFeatures,
  checkTensor,
  type Settings,
} from './batch_norm_checks.ts';
import { Module } from './module.ts';
import { typeNameOf } from './module_repr.ts';
import { buffersKey } from './module_tree.ts';

/** Options that every layer takes. */
export interface NormOptions {
  /** Added to the variance; default 1e-5. */
  readonly eps?: number;
  /** `'stable'` (default) is the most accurate, `'torch'` is PyTorch's CPU result to the bit, on CPU devices. */
  readonly numerics?: Numerics;
  /** Where parameters and buffers are made; default `'cpu'`. */
  readonly device?: DeviceName;
}

/** A layer that normalizes each channel of a batch (N, C, …). */
export abstract class NormBase extends Module {
  /** C, the number of channels. */
  readonly numFeatures: number;
  eps: number;
  numerics: Numerics;

  /**
   * @param numFeatures - C, at least 1 and less than 2²⁸.
   * @throws TypeError or RangeError for arguments of the wrong kind, UnknownDeviceError
   */
  constructor(numFeatures: number, options: NormOptions = {}, ...extra: never[]) {
    super();
    checkOptions(`new ${typeNameOf(this)}()`, options, this.knownOptions(), extra);
    const { eps = 1e-5, numerics = 'stable', device = 'cpu' } = options;
    checkNumFeatures(numFeatures);
    checkEps(eps, false);
    checkNumerics(numerics, deviceByName(device));
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.numerics = numerics;
  }

  abstract get weight(): Tensor | null;

  abstract get bias(): Tensor | null;

  /** The buffer `running_mean`, of shape (C); `null` where there is none. */
  get runningMean(): Tensor | null {
    return this[buffersKey].get('running_mean') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  set runningMean(value: Tensor | null) {
    this.setBuffer('running_mean', value);
  }

  /** The buffer `running_var`, of shape (C); `null` where there is none. */
  get runningVar(): Tensor | null {
    return this[buffersKey].get('running_var') as Tensor | null;
  }

  /** @throws TypeError for what is no tensor, number or `null`. */
  set runningVar(value: Tensor | null) {
    this.setBuffer('running_var', value);
  }

  /**
   * Normalizes a batch; keeps its memory format.
   * @throws RangeError for a wrong rank, channel count, batch size or eps; DeviceMismatchError; DisposedError;
   * OutOfMemoryError. The state is unchanged then.
   */
  async forward(x: Tensor): Promise<Tensor> {
    this.beforeForward();
    const device = checkTensor(x, 'the input');
    const sequence = nextInOrder();
    return awaited([device], () => this.forwardLocally(x, sequence));
  }

  /**
   * `forward()` at once, with the same bits, for programs and engines that cannot wait; the gradients likewise by
   * {@link Tensor.backwardSync}. On `'cpu'` and `'webgpu'` devices that are ready: after `await init([device])`, or any awaited operation there.
   *
   * Where a GPU says later that it has refused the command, because the owner of an adopted buffer has destroyed it, the layer gets back the
   * running statistics and the count of batches that it had, and whoever uses the output is told.
   * @throws as `forward()`; RangeError on a worker; NotInitializedError before the device is ready; Error while an asynchronous forward of the layer
   * waits for a GPU. The state is unchanged then.
   *
   * @example
   * ```ts
   * await init();
   * const y = bn.forwardSync(x);
   * ```
   */
  forwardSync(x: Tensor): Tensor {
    this.beforeForward();
    const device = checkTensor(x, 'the input');
    return computedAtOnce(device, 'forwardSync()', 'await forward()', () => this.forwardLocally(x, nextInOrder()));
  }

  /** Not unless somebody has put another `forward` in place of the layer's own. @internal */
  override mayKeepTensors(): boolean {
    return this.forward !== NormBase.prototype.forward;
  }

  /** What the constructor takes, which calls this before there are properties. @internal */
  abstract knownOptions(): KnownOptions<NormOptions>;

  /** Refuses or warns before anything else is done. @internal */
  abstract beforeForward(): void;

  /**
   * Normalizes on one device, which is ready.
   * @param sequence - the place of the call in the order of nodes, which does not change when the work has to wait.
   * @internal
   */
  abstract forwardLocally(x: Tensor, sequence: number): Tensor | Promise<Tensor>;

  /** @throws RangeError unless the layer takes inputs of this rank. */
  protected abstract checkRank(shape: Shape): void;

  /** Everything about an input that does not depend on other replicas. Changes nothing. */
  protected checkArguments(x: Tensor, settings: Settings): void {
    this.checkRank(x.shape);
    const { runningMean, runningVar, weight, bias } = this;
    checkArguments(
      x,
      [
        ['running_mean', runningMean],
        ['running_var', runningVar],
        ['weight', weight],
        ['bias', bias],
      ],
      settings,
      this,
    );
    checkNumChannels(x.shape, this.numFeatures);
  }

  /** C times the same value, on the device of the options. */
  protected filled(value: number, { device }: NormOptions): Tensor {
    return filledVector(this.numFeatures, value, device);
  }
}

/** C times the same value. */
export function filledVector(length: number, value: number, device = 'cpu'): Tensor {
  return tensor(new Float32Array(length).fill(value), [length], { device });
}

/** Batch normalization over the batch of all replicas, as `torch.nn.SyncBatchNorm` and the package this one descends from. */

import type { EpsMode } from '../device/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { BatchNorm1d, BatchNorm2d, BatchNorm3d, type BatchNormOptions } from './batch_norm.ts';
import { type Synchronization, synchronizationOf } from './synchronized_batch_norm_settings.ts';
import { synchronizedForward } from './synchronized_batch_norm_forward.ts';
import { meetingPlace } from './synchronized_batch_norm_place.ts';

/** Options of every synchronized layer. */
export interface SynchronizedBatchNormOptions extends BatchNormOptions, Readonly<Partial<Synchronization>> {}

/**
 * {@link BatchNorm1d} whose training statistics are those of the whole batch when it runs in `DataParallelWithCallBack`;
 * elsewhere, and in evaluation, it is that layer.
 */
export class SynchronizedBatchNorm1d extends BatchNorm1d implements Synchronization {
  static override readonly typeName: string = 'SynchronizedBatchNorm1d';
  syncTimeout: number;
  onTimeout: 'local' | 'error';
  epsMode: EpsMode;

  constructor(numFeatures: number, options: SynchronizedBatchNormOptions = {}) {
    super(numFeatures, options);
    ({ syncTimeout: this.syncTimeout, onTimeout: this.onTimeout, epsMode: this.epsMode } = synchronizationOf(options));
  }

  /** @throws as {@link BatchNorm1d}; SyncTimeoutError, SyncDeadlockError */
  override forward(x: Tensor): Promise<Tensor> {
    const place = meetingPlace(this);
    return place === null ? super.forward(x) : synchronizedForward(this, x, place);
  }
}

/** {@link BatchNorm2d} over all replicas; see {@link SynchronizedBatchNorm1d}. */
export class SynchronizedBatchNorm2d extends BatchNorm2d implements Synchronization {
  static override readonly typeName: string = 'SynchronizedBatchNorm2d';
  syncTimeout: number;
  onTimeout: 'local' | 'error';
  epsMode: EpsMode;

  constructor(numFeatures: number, options: SynchronizedBatchNormOptions = {}) {
    super(numFeatures, options);
    ({ syncTimeout: this.syncTimeout, onTimeout: this.onTimeout, epsMode: this.epsMode } = synchronizationOf(options));
  }

  override forward(x: Tensor): Promise<Tensor> {
    const place = meetingPlace(this);
    return place === null ? super.forward(x) : synchronizedForward(this, x, place);
  }
}

/** {@link BatchNorm3d} over all replicas; see {@link SynchronizedBatchNorm1d}. */
export class SynchronizedBatchNorm3d extends BatchNorm3d implements Synchronization {
  static override readonly typeName: string = 'SynchronizedBatchNorm3d';
  syncTimeout: number;
  onTimeout: 'local' | 'error';
  epsMode: EpsMode;

  constructor(numFeatures: number, options: SynchronizedBatchNormOptions = {}) {
    super(numFeatures, options);
    ({ syncTimeout: this.syncTimeout, onTimeout: this.onTimeout, epsMode: this.epsMode } = synchronizationOf(options));
  }

  override forward(x: Tensor): Promise<Tensor> {
    const place = meetingPlace(this);
    return place === null ? super.forward(x) : synchronizedForward(this, x, place);
  }
}

/** Batch normalization over the batch of all replicas, as `torch.nn.SyncBatchNorm` and the package this one descends from. */

import type { KnownOptions } from '../check_options.ts';
import type { EpsMode } from '../device/device.ts';
import { loadOnce } from '../load_once.ts';
import type { ProcessGroup } from '../sync/process_group.ts';
import { nextInOrder } from '../tensor/graph_node.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, type BatchNormOptions } from './batch_norm.ts';
import { type Synchronization, synchronizationOf, synchronizationOptions } from './synchronized_batch_norm_settings.ts';
import { joinGroup } from './synchronized_batch_norm_group.ts';
import { meetingPlace } from './synchronized_batch_norm_place.ts';

/** Options of every synchronized layer. */
export interface SynchronizedBatchNormOptions extends BatchNormOptions, Readonly<Partial<Synchronization>> {}

// A plain layer with settings, rank by rank. Linters that follow classes find what an interface extends, but not what an
// intersection consists of.
interface SynchronizedLayer1d extends BatchNorm1d, Synchronization {}
interface SynchronizedLayer2d extends BatchNorm2d, Synchronization {}
interface SynchronizedLayer3d extends BatchNorm3d, Synchronization {}

/** The code of layers that meet others, a file of its own. */
const passes = loadOnce(() => import('./synchronized_batch_norm_forward.ts'));

/** A class of batch norm layers. */
type LayerClass<Layer, Options> = new (numFeatures: number, options?: Options, ...extra: never[]) => Layer;

/**
 * What the synchronized layers of all ranks add to their plain ones. Calls are marked pure, so that bundlers drop the
 * classes that nobody uses.
 */
function synchronized<Plain extends BatchNorm, Layer extends Plain & Synchronization>(
  plain: LayerClass<Plain, BatchNormOptions>,
): LayerClass<Layer, SynchronizedBatchNormOptions> {
  const Base: LayerClass<BatchNorm, BatchNormOptions> = plain;
  abstract class Synchronized extends Base implements Synchronization {
    syncTimeout: number;
    onTimeout: 'local' | 'error';
    epsMode: EpsMode;
    processGroup: ProcessGroup | null;

    constructor(numFeatures: number, options: SynchronizedBatchNormOptions = {}, ...extra: never[]) {
      super(numFeatures, options, ...extra);
      ({
        syncTimeout: this.syncTimeout,
        onTimeout: this.onTimeout,
        epsMode: this.epsMode,
        processGroup: this.processGroup,
      } = synchronizationOf(options));
      if (this.processGroup !== null) {
        joinGroup(this, this.processGroup);
      }
    }

    /** @internal */
    override knownOptions(): KnownOptions<SynchronizedBatchNormOptions> {
      return { ...super.knownOptions(), ...synchronizationOptions };
    }

    /** @throws as the plain layer; SyncTimeoutError, SyncDeadlockError, CollectiveMismatchError */
    override async forward(x: Tensor): Promise<Tensor> {
      const place = meetingPlace(this, x);
      if (place === null) {
        return super.forward(x);
      }
      const sequence = nextInOrder();
      const loaded = passes();
      const { synchronizedForward } = loaded instanceof Promise ? await loaded : loaded;
      return await synchronizedForward(this, x, place, sequence);
    }

    /** @throws as the plain layer; Error in a replica that synchronizes, which has to wait for the others. */
    override forwardSync(x: Tensor): Tensor {
      const place = meetingPlace(this, x);
      if (place !== null) {
        const others = this.processGroup === null ? `${place.devices.length - 1} other replicas` : 'other ranks';
        throw new Error(
          `forwardSync(): layer ${place.path} synchronizes with ${others} and has to wait for them; await forward() instead`,
        );
      }
      return super.forwardSync(x);
    }

    /** @internal */
    override mayKeepTensors(): boolean {
      return this.forward !== Synchronized.prototype.forward;
    }
  }
  // TypeScript does not see that what extends `plain` has what `plain` adds to `BatchNorm`.
  return Synchronized as unknown as LayerClass<Layer, SynchronizedBatchNormOptions>;
}

/**
 * {@link BatchNorm1d} whose training statistics are those of the whole batch when it runs in `DataParallelWithCallBack`, or on several
 * ranks of a process group; elsewhere, and in evaluation, it is that layer.
 *
 * With a process group the batch consists of the parts of all ranks, in order of ranks. The gradients of weight and bias are those of the
 * whole batch on every rank, so an optimizer must not add them up once more. In the steady state a layer exchanges one message per rank in
 * forward and one in backward, `numerics: 'torch'` two in forward; when a shape differs from the last call's there is one more.
 *
 * @example
 * ```ts
 * import { createLocalGroups } from 'syncbn/distributed';
 *
 * const groups = await createLocalGroups(2);
 * const layers = groups.map((processGroup) => new SynchronizedBatchNorm1d(8, { processGroup }));
 * const ys = await Promise.all(layers.map((layer, rank) => layer.forward(shards[rank])));
 * ```
 */
export class SynchronizedBatchNorm1d
  extends /* @__PURE__ */ synchronized<BatchNorm1d, SynchronizedLayer1d>(BatchNorm1d)
{
  static readonly typeName: string = 'SynchronizedBatchNorm1d';
}

/** {@link BatchNorm2d} over all replicas; see {@link SynchronizedBatchNorm1d}. */
export class SynchronizedBatchNorm2d
  extends /* @__PURE__ */ synchronized<BatchNorm2d, SynchronizedLayer2d>(BatchNorm2d)
{
  static readonly typeName: string = 'SynchronizedBatchNorm2d';
}

/** {@link BatchNorm3d} over all replicas; see {@link SynchronizedBatchNorm1d}. */
export class SynchronizedBatchNorm3d
  extends /* @__PURE__ */ synchronized<BatchNorm3d, SynchronizedLayer3d>(BatchNorm3d)
{
  static readonly typeName: string = 'SynchronizedBatchNorm3d';
}

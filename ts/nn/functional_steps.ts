/**
 * What the functions of `functional.ts` do: checks, and one command of a device. Each gives its result itself where there is nothing to wait
 * for, as in a synchronous call, and else a promise.
 */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { awaited, isSynchronous } from '../device/awaited.ts';
import { type Device, STATISTICS_ROWS, type EpsMode, type Numerics } from '../device/device.ts';
import { endToEnd } from '../device/end_to_end.ts';
import { kernelsFor } from '../device/host.ts';
import { deviceByName } from '../device/registry.ts';
import type { Storage } from '../tensor/storage.ts';
import { whenConfirmed } from '../tensor/storage_ops.ts';
import { Tensor } from '../tensor/tensor.ts';
import {
  type ChannelVectors,
  checkEps,
  checkLengths,
  checkRenewable,
  checkMomentum,
  checkNumerics,
} from './batch_norm_checks.ts';
import type { RunningStatistics } from './batch_norm_operation.ts';
import {
  checkMatching,
  checkShard,
  checkStatistics,
  checkWhole,
  filledPair,
  like,
  onDevice,
  onDeviceWithPartials,
  present,
  readableStep,
  reduced,
  vector,
} from './functional_support.ts';
import { checkAlike } from './partial_header.ts';
import { inOrderOfUpdates, memoryOf, renewUnlessWritten } from './running_updates.ts';
import { checkEpsMode } from './synchronized_batch_norm_settings.ts';

/** Where a shard lies in the batch. */
export interface ShardOptions {
  /** Global number of the shard's first sample; default 0. */
  readonly firstSample?: number;
}

/** Weight and bias of the normalization, and its arithmetic. */
export interface NormalizeOptions {
  readonly weight?: Tensor | null;
  readonly bias?: Tensor | null;
  readonly numerics?: Numerics;
}

/** How variance becomes `invstd`. */
export interface FinalizeOptions {
  /** Default 1e-5. */
  readonly eps?: number;
  /** Default `'plus'`. */
  readonly epsMode?: EpsMode;
}

const shardOptions: KnownOptions<ShardOptions> = { firstSample: 'number' };
const normalizeOptions: KnownOptions<NormalizeOptions> = { weight: 'object', bias: 'object', numerics: 'string' };
const finalizeOptions: KnownOptions<FinalizeOptions> = { eps: 'number', epsMode: 'string' };
const backwardInputOptions: KnownOptions<BackwardInputOptions> = { weight: 'object', sums: 'object' };

export function moments(x: Tensor, options: ShardOptions = {}, ...extra: never[]): Uint8Array | Promise<Uint8Array> {
  checkOptions('functional.moments()', options, shardOptions, extra);
  return onDevice('moments', { x }, (device) =>
    reduced(device, { operation: 'moments', ...checkShard(x, options.firstSample) }),
  );
}

export function total(x: Tensor, options: ShardOptions = {}, ...extra: never[]): Uint8Array | Promise<Uint8Array> {
  checkOptions('functional.total()', options, shardOptions, extra);
  return onDevice('total', { x }, (device) => {
    checkNumerics('torch', device);
    return reduced(device, { operation: 'total', ...checkShard(x, options.firstSample) });
  });
}

export function deviations(
  x: Tensor,
  merged: Uint8Array,
  options: ShardOptions = {},
  ...extra: never[]
): Uint8Array | Promise<Uint8Array> {
  checkOptions('functional.deviations()', options, shardOptions, extra);
  return onDeviceWithPartials('deviations', { x }, (device) => {
    checkNumerics('torch', device);
    const shard = checkShard(x, options.firstSample);
    const { channels } = shard.layout;
    const where = 'functional.deviations(), merged';
    const { bytes } = checkWhole(device, merged, { where, kinds: ['total'], channels });
    return reduced(device, { operation: 'deviations', ...shard, total: bytes });
  });
}

export function mergeMoments(partials: readonly Uint8Array[], device = 'cpu'): Uint8Array | Promise<Uint8Array> {
  return merge(partials, device, 'mergeMoments');
}

export function mergeSums(partials: readonly Uint8Array[], device = 'cpu'): Uint8Array | Promise<Uint8Array> {
  return merge(partials, device, 'mergeSums');
}

function merge(
  partials: readonly Uint8Array[],
  device: string,
  operation: 'mergeMoments' | 'mergeSums',
): Uint8Array | Promise<Uint8Array> {
  const target = deviceByName(device);
  const alike = checkAlike(partials, `functional.${operation}()`);
  if (isSynchronous()) {
    return readableStep(target, operation).mergeBytes(endToEnd(alike));
  }
  return awaited([target, kernelsFor(target)], () => {
    // A GPU lays partials end to end, and would find out later what is wrong with them.
    if (target.kind === 'webgpu') {
      kernelsFor(target).mergeBytes(endToEnd(alike));
    }
    return target.merge(alike);
  });
}

export function finalize(
  merged: Uint8Array,
  x: Tensor,
  options: FinalizeOptions = {},
  ...extra: never[]
): Tensor | Promise<Tensor> {
  checkOptions('functional.finalize()', options, finalizeOptions, extra);
  const { eps = 1e-5, epsMode = 'plus' } = options;
  return onDeviceWithPartials('finalize', { x }, (device) => {
    checkEps(eps, true);
    checkEpsMode(epsMode);
    const { channels } = checkShard(x).layout;
    const where = 'functional.finalize(), merged';
    const { bytes } = checkWhole(device, merged, { where, kinds: ['moments', 'deviations'], channels });
    return vector(device, [STATISTICS_ROWS, channels], (statistics) =>
      device.run({ operation: 'finalize', merged: bytes, eps, epsMode, statistics }),
    );
  });
}

export function updateRunning(
  merged: Uint8Array,
  runningMean: Tensor,
  runningVar: Tensor,
  momentum = 0.1,
): void | Promise<void> {
  return onDeviceWithPartials('updateRunning', { runningMean, runningVar }, (device) => {
    checkMomentum(momentum, 'number');
    const { length } = runningMean.storage;
    const vectors: ChannelVectors = [
      ['running_mean', runningMean],
      ['running_var', runningVar],
    ];
    checkLengths(length, vectors, () => `one value per channel, of which running_mean has ${length}`);
    checkRenewable('functional.updateRunning()', runningMean, runningVar);
    const where = 'functional.updateRunning(), merged';
    const { bytes, count } = checkWhole(device, merged, { where, kinds: ['moments', 'deviations'], channels: length });
    if (count === 1) {
      throw new RangeError(
        `${where}: expected a batch of more than 1 value per channel, whose variance is defined, got 1 value; ` +
          `leave the running statistics as they are after such a batch`,
      );
    }
    const running = { mean: runningMean, variance: runningVar };
    return inOrderOfUpdates(runningMean, true, () => {
      const begun = memoryOf(running);
      const next = nextStatistics(device, bytes, begun, momentum);
      const keep = (): void => void renewUnlessWritten(running, begun, next);
      return whenConfirmed([next.mean, next.variance], keep, () => {
        next.mean.release();
        next.variance.release();
      });
    });
  });
}

/** The running statistics after a batch, in new memory. */
function nextStatistics(
  device: Device,
  merged: Uint8Array,
  { mean, variance }: RunningStatistics<Storage>,
  momentum: number,
): RunningStatistics<Storage> {
  const [nextMean, nextVariance] = filledPair(device, mean.length, (nextMean, nextVariance) =>
    device.run({
      operation: 'updateRunning',
      ...{ merged, mean: mean.buffer, variance: variance.buffer, nextMean, nextVariance, momentum, correction: 1 },
    }),
  );
  return { mean: nextMean, variance: nextVariance };
}

export function normalize(
  x: Tensor,
  statistics: Tensor,
  options: NormalizeOptions = {},
  ...extra: never[]
): Tensor | Promise<Tensor> {
  checkOptions('functional.normalize()', options, normalizeOptions, extra);
  const { weight = null, bias = null, numerics = 'stable' } = options;
  return onDevice('normalize', { x, statistics, ...present({ weight, bias }) }, (device) => {
    checkNumerics(numerics, device);
    const { layout } = checkShard(x);
    checkStatistics(statistics, layout.channels, [weight, bias]);
    return like(x, x, (y, input) =>
      device.run({
        operation: 'normalize',
        x: input,
        y,
        layout,
        numerics,
        statistics: statistics.storage.buffer,
        weight: weight?.storage.buffer ?? null,
        bias: bias?.storage.buffer ?? null,
      }),
    );
  });
}

export function backwardReduce(
  dy: Tensor,
  x: Tensor,
  statistics: Tensor,
  options: ShardOptions = {},
  ...extra: never[]
): Uint8Array | Promise<Uint8Array> {
  checkOptions('functional.backwardReduce()', options, shardOptions, extra);
  return onDevice('backwardReduce', { dy, x, statistics }, (device) => {
    const shard = checkShard(x, options.firstSample);
    checkMatching(dy, x);
    checkStatistics(statistics, shard.layout.channels, []);
    const arranged = dy.inFormat(x.memoryFormat);
    const release = (): void => arranged.release();
    let sums: Uint8Array | Promise<Uint8Array> | null = null;
    try {
      sums = reduced(device, {
        operation: 'backwardReduce',
        ...shard,
        dy: arranged.buffer,
        statistics: statistics.storage.buffer,
      });
    } finally {
      if (!(sums instanceof Promise)) {
        release();
      }
    }
    return sums instanceof Promise ? sums.finally(release) : sums;
  });
}

export function backwardParameters(
  sums: Uint8Array,
  statistics: Tensor,
): ParameterGradients | Promise<ParameterGradients> {
  return onDeviceWithPartials('backwardParameters', { statistics }, (device) => {
    const channels = statistics.shape[1] ?? 0;
    checkStatistics(statistics, channels, []);
    const { bytes } = checkWhole(device, sums, {
      where: 'functional.backwardParameters(), sums',
      kinds: ['sums'],
      channels,
    });
    const [dweight, dbias] = filledPair(device, channels, (dweight, dbias) =>
      device.run({
        operation: 'backwardParameters',
        sums: bytes,
        statistics: statistics.storage.buffer,
        dweight,
        dbias,
      }),
    );
    const vectorOf = (storage: Storage): Tensor =>
      new Tensor({ storage, shape: [channels], memoryFormat: 'contiguous' });
    return { dweight: vectorOf(dweight), dbias: vectorOf(dbias) };
  });
}

/** Gradients of weight and bias, of shape [C]. */
export interface ParameterGradients {
  readonly dweight: Tensor;
  readonly dbias: Tensor;
}

/** What {@link backwardInput} needs besides tensors of a batch. */
export interface BackwardInputOptions {
  readonly weight?: Tensor | null;
  /** The merged sums of the whole batch; `null`, the default, when the statistics are constants, as in evaluation. */
  readonly sums?: Uint8Array | null;
}

export function backwardInput(
  dy: Tensor,
  x: Tensor,
  statistics: Tensor,
  options: BackwardInputOptions = {},
  ...extra: never[]
): Tensor | Promise<Tensor> {
  checkOptions('functional.backwardInput()', options, backwardInputOptions, extra);
  const { weight = null, sums = null } = options;
  return onDeviceWithPartials('backwardInput', { dy, x, statistics, ...present({ weight }) }, (device) => {
    const { layout } = checkShard(x);
    checkMatching(dy, x);
    const { channels } = layout;
    checkStatistics(statistics, channels, [weight]);
    const where = 'functional.backwardInput(), sums';
    const whole = sums && checkWhole(device, sums, { where, kinds: ['sums'], channels });
    return like(dy, x, (dx, arranged) =>
      device.run({
        operation: 'backwardInput',
        x: x.storage.buffer,
        dy: arranged,
        dx,
        layout,
        statistics: statistics.storage.buffer,
        weight: weight?.storage.buffer ?? null,
        sums: whole?.bytes ?? null,
      }),
    );
  });
}

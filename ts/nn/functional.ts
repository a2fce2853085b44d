/**
 * The steps of batch norm as functions on tensors, for authors of other layers and engines. None but {@link batchNorm} is
 * recorded for the backward pass: call them inside the functions of `defineFunction`.
 *
 * A batch that is spread over shards is normalized like this, each shard on any device:
 *
 * ```ts
 * // Forward, stable numerics. `first` is the global number of the shard's first sample.
 * const merged = await functional.mergeMoments(await Promise.all(shards.map((x, r) => functional.moments(x, { firstSample: first[r] }))));
 * const statistics = await functional.finalize(merged, x);
 * const y = await functional.normalize(x, statistics, { weight, bias });
 * // Backward.
 * const sums = await functional.mergeSums(partials); // of functional.backwardReduce(dy, x, statistics, { firstSample })
 * const { dweight, dbias } = await functional.backwardParameters(sums, statistics);
 * const dx = await functional.backwardInput(dy, x, statistics, { weight, sums });
 * ```
 *
 * With `torch` numerics the forward has two rounds: {@link total}, merged, then {@link deviations}, merged. A partial is
 * bytes and may travel; partials of adjacent ranges merge to the partial of their union, so that every way of cutting the
 * batch gives the same bits. Statistics are a tensor of shape [4, C]: the mean and the inverse deviation, each as the sum of
 * two f32 (`mean_hi`, `mean_lo`, `invstd_hi`, `invstd_lo`).
 */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { awaited } from '../device/awaited.ts';
import { type Device, STATISTICS_ROWS, type EpsMode, type Numerics } from '../device/device.ts';
import { endToEnd } from '../device/end_to_end.ts';
import { deviceByName, kernelsFor } from '../device/registry.ts';
import type { Storage } from '../tensor/storage.ts';
import { whenConfirmed } from '../tensor/storage_ops.ts';
import { Tensor } from '../tensor/tensor.ts';
import { checkChannels, checkEps, checkRenewable, checkMomentum, checkNumerics } from './batch_norm_checks.ts';
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
  vector,
} from './functional_support.ts';
import { checkAlike } from './partial_header.ts';
import { inOrderOfUpdates, memoryOf, renewUnlessWritten } from './running_updates.ts';
import { checkEpsMode } from './synchronized_batch_norm_settings.ts';

export { batchNorm, type BatchNormFunctionOptions } from './functional_batch_norm.ts';

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

/** Partial (count, mean, M2) of a shard (N, C, …): `stable` numerics. */
export async function moments(x: Tensor, options: ShardOptions = {}): Promise<Uint8Array> {
  checkOptions('functional.moments()', options, shardOptions);
  return onDevice('moments', { x }, (device) => device.moments(checkShard(x, options.firstSample)));
}

/** Partial Σx of a shard (N, C, …) in f64: the first round of `torch` numerics. */
export async function total(x: Tensor, options: ShardOptions = {}): Promise<Uint8Array> {
  checkOptions('functional.total()', options, shardOptions);
  return onDevice('total', { x }, (device) => {
    checkNumerics('torch', device);
    return device.total(checkShard(x, options.firstSample));
  });
}

/**
 * Partial Σ(x − mean)² of a shard, rounded as PyTorch rounds: the second round of `torch` numerics.
 * @param merged - the merged {@link total} of the whole batch.
 */
export async function deviations(x: Tensor, merged: Uint8Array, options: ShardOptions = {}): Promise<Uint8Array> {
  checkOptions('functional.deviations()', options, shardOptions);
  return onDeviceWithPartials('deviations', { x }, (device) => {
    checkNumerics('torch', device);
    const shard = checkShard(x, options.firstSample);
    const { channels } = shard.layout;
    const where = 'functional.deviations(), merged';
    const { bytes } = checkWhole(device, merged, { where, kinds: ['total'], channels });
    return device.deviations({ ...shard, total: bytes });
  });
}

/**
 * Merges partials of one kind, {@link moments}, {@link total} or {@link deviations}.
 * @param partials - of adjacent ranges, in order of samples.
 * @param device - where to compute; default `'cpu'`. Those of GPUs give the bits of one GPU when they are merged on one.
 * @throws PartialError for bytes that are none, or do not belong together.
 */
export async function mergeMoments(partials: readonly Uint8Array[], device = 'cpu'): Promise<Uint8Array> {
  return merge(partials, device, 'functional.mergeMoments()');
}

/** Merges partials of {@link backwardReduce}, as {@link mergeMoments} does. */
export async function mergeSums(partials: readonly Uint8Array[], device = 'cpu'): Promise<Uint8Array> {
  return merge(partials, device, 'functional.mergeSums()');
}

async function merge(partials: readonly Uint8Array[], device: string, where: string): Promise<Uint8Array> {
  const target = deviceByName(device);
  const alike = checkAlike(partials, where);
  return awaited([target, kernelsFor(target)], () => {
    // A GPU lays partials end to end, and would find out later what is wrong with them.
    if (target.kind === 'webgpu') {
      kernelsFor(target).mergeBytes(endToEnd(alike));
    }
    return target.merge(alike);
  });
}

/**
 * Statistics of a whole batch, for normalizing one of its shards.
 * @param merged - the merged {@link moments} or {@link deviations} of the batch.
 * @param x - the shard, whose device and number of channels the statistics get.
 * @returns shape [4, C].
 */
export async function finalize(merged: Uint8Array, x: Tensor, options: FinalizeOptions = {}): Promise<Tensor> {
  checkOptions('functional.finalize()', options, finalizeOptions);
  const { eps = 1e-5, epsMode = 'plus' } = options;
  return onDeviceWithPartials('finalize', { x }, (device) => {
    checkEps(eps, true);
    checkEpsMode(epsMode);
    const { channels } = checkShard(x).layout;
    const where = 'functional.finalize(), merged';
    const { bytes } = checkWhole(device, merged, { where, kinds: ['moments', 'deviations'], channels });
    return vector(device, [STATISTICS_ROWS, channels], (statistics) =>
      device.finalize({ merged: bytes, eps, epsMode, statistics }),
    );
  });
}

/**
 * Renews running statistics with those of a whole batch; the tensors stay the same objects.
 * @param merged - the merged {@link moments} or {@link deviations} of the batch, of more than one value per channel.
 * @param momentum - weight of the new value; default 0.1.
 */
export function updateRunning(
  merged: Uint8Array,
  runningMean: Tensor,
  runningVar: Tensor,
  momentum = 0.1,
): Promise<void> {
  return onDeviceWithPartials('updateRunning', { runningMean, runningVar }, (device) => {
    checkMomentum(momentum, 'number');
    const { length } = runningMean.storage;
    checkChannels(
      [1, length],
      [
        ['running_mean', runningMean],
        ['running_var', runningVar],
      ],
    );
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
    device.updateRunning({
      merged,
      running: { mean: mean.buffer, variance: variance.buffer, nextMean, nextVariance, momentum },
    }),
  );
  return { mean: nextMean, variance: nextVariance };
}

/** y = (x − mean) · invstd · weight + bias. Written over a donated `x`. */
export async function normalize(x: Tensor, statistics: Tensor, options: NormalizeOptions = {}): Promise<Tensor> {
  checkOptions('functional.normalize()', options, normalizeOptions);
  const { weight = null, bias = null, numerics = 'stable' } = options;
  return onDevice('normalize', { x, statistics, ...present({ weight, bias }) }, (device) => {
    checkNumerics(numerics, device);
    const { layout } = checkShard(x);
    checkStatistics(statistics, layout.channels, [weight, bias]);
    return like(x, x, (y, input) =>
      device.normalize({
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

/** Partial (Σdy, Σdy·(x − mean)) of a shard. */
export async function backwardReduce(
  dy: Tensor,
  x: Tensor,
  statistics: Tensor,
  options: ShardOptions = {},
): Promise<Uint8Array> {
  checkOptions('functional.backwardReduce()', options, shardOptions);
  return onDevice('backwardReduce', { dy, x, statistics }, async (device) => {
    const shard = checkShard(x, options.firstSample);
    checkMatching(dy, x);
    checkStatistics(statistics, shard.layout.channels, []);
    const arranged = dy.inFormat(x.memoryFormat);
    try {
      return await device.backwardReduce({ ...shard, dy: arranged.buffer, statistics: statistics.storage.buffer });
    } finally {
      arranged.release();
    }
  });
}

/** dweight = Σdy·(x − mean) · invstd and dbias = Σdy, of shape [C], from the merged sums of the whole batch. */
export function backwardParameters(
  sums: Uint8Array,
  statistics: Tensor,
): Promise<{ readonly dweight: Tensor; readonly dbias: Tensor }> {
  return onDeviceWithPartials('backwardParameters', { statistics }, (device) => {
    const channels = statistics.shape[1] ?? 0;
    checkStatistics(statistics, channels, []);
    const { bytes } = checkWhole(device, sums, {
      where: 'functional.backwardParameters(), sums',
      kinds: ['sums'],
      channels,
    });
    const [dweight, dbias] = filledPair(device, channels, (dweight, dbias) =>
      device.backwardParameters({ sums: bytes, statistics: statistics.storage.buffer, dweight, dbias }),
    );
    const vectorOf = (storage: Storage): Tensor =>
      new Tensor({ storage, shape: [channels], memoryFormat: 'contiguous' });
    return { dweight: vectorOf(dweight), dbias: vectorOf(dbias) };
  });
}

/** What {@link backwardInput} needs besides tensors of a batch. */
export interface BackwardInputOptions {
  readonly weight?: Tensor | null;
  /** The merged sums of the whole batch; `null`, the default, when the statistics are constants, as in evaluation. */
  readonly sums?: Uint8Array | null;
}

/**
 * dx = (dy − Σdy/n − (x − mean) · invstd² · Σdy·(x − mean)/n) · invstd · weight, or dy · invstd · weight in evaluation.
 * Written over a donated `dy` of the memory format of `x`.
 */
export async function backwardInput(
  dy: Tensor,
  x: Tensor,
  statistics: Tensor,
  options: BackwardInputOptions = {},
): Promise<Tensor> {
  checkOptions('functional.backwardInput()', options, backwardInputOptions);
  const { weight = null, sums = null } = options;
  return onDeviceWithPartials('backwardInput', { dy, x, statistics, ...present({ weight }) }, (device) => {
    const { layout } = checkShard(x);
    checkMatching(dy, x);
    const { channels } = layout;
    checkStatistics(statistics, channels, [weight]);
    const where = 'functional.backwardInput(), sums';
    const whole = sums && checkWhole(device, sums, { where, kinds: ['sums'], channels });
    return like(dy, x, (dx, arranged) =>
      device.backwardInput({
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

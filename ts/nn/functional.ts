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
 *
 * Each function has a twin whose name ends with `Sync`, which does the same at once, bit for bit, for programs and engines that cannot
 * wait. It takes `'cpu'` devices and, unless it gives bytes, which must be read back, `'webgpu'` devices; the device must be ready,
 * after `await init([device])`. Elsewhere it throws a RangeError that says what to do. Where a GPU says later that it has refused a command, because
 * the owner of an adopted buffer has destroyed it, whoever uses the result is told, and running statistics get back what they were.
 */

import { valueAtOnce } from '../device/calling_thread.ts';
import type { DeviceName } from '../device/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { batchNorm as batchNormStep, type BatchNormFunctionOptions } from './functional_batch_norm.ts';
import * as steps from './functional_steps.ts';

export type { BatchNormFunctionOptions } from './functional_batch_norm.ts';
export type {
  BackwardInputOptions,
  FinalizeOptions,
  NormalizeOptions,
  ParameterGradients,
  ShardOptions,
} from './functional_steps.ts';

/**
 * Batch norm of a batch on one device, recorded for the backward pass.
 *
 * @param x - shape (N, C, …); kept memory format.
 * @param runningMean - shape (C), read in evaluation and renewed in training; `null`: none.
 * @param runningVar - as `runningMean`; both or neither.
 * @throws RangeError, TypeError, DeviceMismatchError, DisposedError, OutOfMemoryError; nothing has changed then.
 */
export async function batchNorm(
  x: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options?: BatchNormFunctionOptions,
  ...extra: never[]
): Promise<Tensor> {
  return batchNormStep(x, runningMean, runningVar, options, ...extra);
}

/** {@link batchNorm} at once. */
export function batchNormSync(...args: Parameters<typeof batchNormStep>): Tensor {
  return atOnce('batchNorm', () => batchNormStep(...args));
}

/** Partial (count, mean, M2) of a shard (N, C, …): `stable` numerics. */
export async function moments(x: Tensor, options?: steps.ShardOptions, ...extra: never[]): Promise<Uint8Array> {
  return steps.moments(x, options, ...extra);
}

/** {@link moments} at once. */
export function momentsSync(...args: Parameters<typeof steps.moments>): Uint8Array {
  return atOnce('moments', () => steps.moments(...args));
}

/** Partial Σx of a shard (N, C, …) in f64: the first round of `torch` numerics. */
export async function total(x: Tensor, options?: steps.ShardOptions, ...extra: never[]): Promise<Uint8Array> {
  return steps.total(x, options, ...extra);
}

/** {@link total} at once. */
export function totalSync(...args: Parameters<typeof steps.total>): Uint8Array {
  return atOnce('total', () => steps.total(...args));
}

/**
 * Partial Σ(x − mean)² of a shard, rounded as PyTorch rounds: the second round of `torch` numerics.
 * @param merged - the merged {@link total} of the whole batch.
 */
export async function deviations(
  x: Tensor,
  merged: Uint8Array,
  options?: steps.ShardOptions,
  ...extra: never[]
): Promise<Uint8Array> {
  return steps.deviations(x, merged, options, ...extra);
}

/** {@link deviations} at once. */
export function deviationsSync(...args: Parameters<typeof steps.deviations>): Uint8Array {
  return atOnce('deviations', () => steps.deviations(...args));
}

/**
 * Merges partials of one kind, {@link moments}, {@link total} or {@link deviations}.
 * @param partials - of adjacent ranges, in order of samples.
 * @param device - where to compute; default `'cpu'`. Those of GPUs give the bits of one GPU when they are merged on one.
 * @throws PartialError for bytes that are none, or do not belong together.
 */
export async function mergeMoments(partials: readonly Uint8Array[], device?: DeviceName): Promise<Uint8Array> {
  return steps.mergeMoments(partials, device);
}

/** {@link mergeMoments} at once. */
export function mergeMomentsSync(...args: Parameters<typeof steps.mergeMoments>): Uint8Array {
  return atOnce('mergeMoments', () => steps.mergeMoments(...args));
}

/** Merges partials of {@link backwardReduce}, as {@link mergeMoments} does. */
export async function mergeSums(partials: readonly Uint8Array[], device?: DeviceName): Promise<Uint8Array> {
  return steps.mergeSums(partials, device);
}

/** {@link mergeSums} at once. */
export function mergeSumsSync(...args: Parameters<typeof steps.mergeSums>): Uint8Array {
  return atOnce('mergeSums', () => steps.mergeSums(...args));
}

/**
 * Statistics of a whole batch, for normalizing one of its shards.
 * @param merged - the merged {@link moments} or {@link deviations} of the batch.
 * @param x - the shard, whose device and number of channels the statistics get.
 * @returns shape [4, C].
 */
export async function finalize(
  merged: Uint8Array,
  x: Tensor,
  options?: steps.FinalizeOptions,
  ...extra: never[]
): Promise<Tensor> {
  return steps.finalize(merged, x, options, ...extra);
}

/** {@link finalize} at once. */
export function finalizeSync(...args: Parameters<typeof steps.finalize>): Tensor {
  return atOnce('finalize', () => steps.finalize(...args));
}

/**
 * Renews running statistics with those of a whole batch; the tensors stay the same objects.
 * @param merged - the merged {@link moments} or {@link deviations} of the batch, of more than one value per channel.
 * @param momentum - weight of the new value; default 0.1.
 */
export async function updateRunning(
  merged: Uint8Array,
  runningMean: Tensor,
  runningVar: Tensor,
  momentum?: number,
): Promise<void> {
  return steps.updateRunning(merged, runningMean, runningVar, momentum);
}

/** {@link updateRunning} at once. */
export function updateRunningSync(...args: Parameters<typeof steps.updateRunning>): void {
  atOnce('updateRunning', () => steps.updateRunning(...args));
}

/** y = (x − mean) · invstd · weight + bias. Written over a donated `x`. */
export async function normalize(
  x: Tensor,
  statistics: Tensor,
  options?: steps.NormalizeOptions,
  ...extra: never[]
): Promise<Tensor> {
  return steps.normalize(x, statistics, options, ...extra);
}

/** {@link normalize} at once. */
export function normalizeSync(...args: Parameters<typeof steps.normalize>): Tensor {
  return atOnce('normalize', () => steps.normalize(...args));
}

/** Partial (Σdy, Σdy·(x − mean)) of a shard. */
export async function backwardReduce(
  dy: Tensor,
  x: Tensor,
  statistics: Tensor,
  options?: steps.ShardOptions,
  ...extra: never[]
): Promise<Uint8Array> {
  return steps.backwardReduce(dy, x, statistics, options, ...extra);
}

/** {@link backwardReduce} at once. */
export function backwardReduceSync(...args: Parameters<typeof steps.backwardReduce>): Uint8Array {
  return atOnce('backwardReduce', () => steps.backwardReduce(...args));
}

/** dweight = Σdy·(x − mean) · invstd and dbias = Σdy, of shape [C], from the merged sums of the whole batch. */
export async function backwardParameters(sums: Uint8Array, statistics: Tensor): Promise<steps.ParameterGradients> {
  return steps.backwardParameters(sums, statistics);
}

/** {@link backwardParameters} at once. */
export function backwardParametersSync(...args: Parameters<typeof steps.backwardParameters>): steps.ParameterGradients {
  return atOnce('backwardParameters', () => steps.backwardParameters(...args));
}

/**
 * dx = (dy − Σdy/n − (x − mean) · invstd² · Σdy·(x − mean)/n) · invstd · weight, or dy · invstd · weight in evaluation.
 * Written over a donated `dy` of the memory format of `x`.
 */
export async function backwardInput(
  dy: Tensor,
  x: Tensor,
  statistics: Tensor,
  options?: steps.BackwardInputOptions,
  ...extra: never[]
): Promise<Tensor> {
  return steps.backwardInput(dy, x, statistics, options, ...extra);
}

/** {@link backwardInput} at once. */
export function backwardInputSync(...args: Parameters<typeof steps.backwardInput>): Tensor {
  return atOnce('backwardInput', () => steps.backwardInput(...args));
}

function atOnce<T>(operation: string, step: () => T | Promise<T>): T {
  return valueAtOnce(`functional.${operation}Sync()`, step);
}

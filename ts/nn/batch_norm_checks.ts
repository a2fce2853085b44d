/** What can be wrong with the arguments of batch norm. Texts begin as PyTorch's do, so that a search finds them. */

import { describeValue } from '../describe_value.ts';
import { type Device, type DeviceKind, type Numerics, STATISTICS_ROWS } from '../device/device.ts';
import { DeviceMismatchError } from '../errors.ts';
import { formatShape, type Shape } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { deviceRemedy } from './device_remedy.ts';
import type { Module } from './module.ts';

/** Tensors of C values under PyTorch's names; `null` where there is none. */
export type ChannelVectors = readonly (readonly [name: string, vector: Tensor | null])[];

/** What a call is told besides tensors. */
export interface Settings {
  readonly eps: number;
  readonly momentum: number | null;
  readonly numerics: Numerics;
  readonly usesBatchStatistics: boolean;
}

/** Statistics are one buffer of so many rows of f32, and buffers are addressed by 32 bits. */
const MAX_FEATURES = Math.floor((2 ** 32 - 1) / (4 * STATISTICS_ROWS));

/** PyTorch's results are those of its CPU kernels; a GPU does not round the same way. */
const torchKinds: ReadonlySet<DeviceKind> = new Set<DeviceKind>(['cpu', 'worker']);

/** @throws TypeError unless the input is a tensor; DisposedError, DeviceLostError when it has no memory any more. */
export function checkTensor(value: unknown, name: string, where = 'batch_norm'): Device {
  if (!isTensor(value)) {
    throw new TypeError(`${where}: expected ${name} to be a Tensor, got ${describeValue(value)}`);
  }
  const { device } = value.storage;
  if (device.lost !== null) {
    throw device.lost;
  }
  return device;
}

/**
 * Everything about a call that does not depend on other replicas.
 * @param layer - that was called; `null` for a function.
 * @throws RangeError, TypeError, DeviceMismatchError, DisposedError
 */
export function checkArguments(
  x: Tensor,
  vectors: ChannelVectors,
  settings: Settings,
  layer: Module | null = null,
): void {
  checkChannels(x.shape, vectors);
  checkDevices(x, vectors, layer);
  checkEps(settings.eps, settings.usesBatchStatistics);
  checkMomentum(settings.momentum);
  checkNumerics(settings.numerics, x.storage.device);
}

/**
 * @param shape - of the input.
 * @param vectors - what must be as long as the input has channels.
 * @throws RangeError for the first that is not.
 */
function checkChannels(shape: Shape, vectors: ChannelVectors): void {
  checkLengths(shape[1], vectors, (length) => {
    const remedy = channelsRemedy(shape, length);
    return `the input has shape ${formatShape(shape)}, whose dimension 1 holds the channels; ${remedy}`;
  });
}

/**
 * @param channels - the length that the vectors must have.
 * @param reason - why, given the length of the one that has another.
 * @throws RangeError for the first that has not.
 */
export function checkLengths(
  channels: number | undefined,
  vectors: ChannelVectors,
  reason: (length: number | undefined) => string,
): void {
  for (const [name, vector] of vectors) {
    if (vector !== null) {
      checkTensor(vector, name);
    }
    if (vector !== null && (vector.shape.length !== 1 || vector.shape[0] !== channels)) {
      const [length] = vector.shape;
      const given = vector.shape.length === 1 ? `${length ?? 0}` : `shape ${formatShape(vector.shape)}`;
      throw new RangeError(`${name} should contain ${channels ?? 0} elements not ${given}: ${reason(length)}`);
    }
  }
}

/** @throws RangeError for one tensor in both places, Error for one that takes no other values: a batch renews the two. */
export function checkRenewable(where: string, runningMean: Tensor, runningVar: Tensor): void {
  if (runningMean === runningVar) {
    throw new RangeError(
      `${where}: expected two tensors as running_mean and running_var, got one tensor twice; make one for each`,
    );
  }
  runningMean.checkWritable(where);
  runningVar.checkWritable(where);
}

/** @throws RangeError for an input of another number of channels than a layer was made for. */
export function checkNumChannels(shape: Shape, numFeatures: number): void {
  if (shape[1] !== numFeatures) {
    throw new RangeError(
      `expected an input of ${numFeatures} channels (numFeatures), got shape ${formatShape(shape)}, whose dimension 1 ` +
        `holds the channels; ${channelsRemedy(shape, numFeatures)}`,
    );
  }
}

/** What to do about an input of another number of channels than `wanted`. */
function channelsRemedy(shape: Shape, wanted: number | undefined): string {
  return shape.length > 2 && shape.at(-1) === wanted
    ? `here the last dimension has ${wanted}: rearrange data of the order (N, …, C) and give the shape as (N, C, …), which ` +
        `memoryFormat 'channels_last' does not change, it is about the order in memory`
    : `give an input of the shape (N, C, …) with ${wanted ?? 0} channels, or make the layer for ${shape[1] ?? 0} (numFeatures)`;
}

/** @throws DeviceMismatchError unless the vectors are where the input is. */
function checkDevices(x: Tensor, vectors: ChannelVectors, layer: Module | null): void {
  const { device } = x.storage;
  for (const [, vector] of vectors) {
    if (vector !== null && vector.storage.device !== device) {
      throw new DeviceMismatchError('batch_norm', [device.name, vector.device], deviceRemedy(layer));
    }
  }
}

/**
 * @param shape - of the whole batch, over all replicas.
 * @param remedy - how to normalize without the variance of the batch, beginning with a comma; empty where there is no way. Read
 * only for the error.
 * @throws RangeError when there is one value per channel, whose variance is not defined.
 */
export function checkBatchSize(shape: Shape, remedy: { readonly otherThanBatchStatistics: string }): void {
  const perChannel = shape.reduce((product, size, dim) => (dim === 1 ? product : product * size), 1);
  if (perChannel === 1) {
    throw new RangeError(
      `Expected more than 1 value per channel when training, got input size ${formatShape(shape)}; ` +
        `use a larger batch${remedy.otherThanBatchStatistics}`,
    );
  }
}

/** @throws RangeError for an eps that would divide by zero, TypeError for what is no number. */
export function checkEps(eps: unknown, usesBatchStatistics: boolean): void {
  if (typeof eps !== 'number') {
    throw new TypeError(`batch_norm: expected eps to be a number, got ${describeValue(eps)}`);
  }
  if (usesBatchStatistics && !(eps > 0 && eps < Infinity)) {
    throw new RangeError(`batch_norm eps must be positive during training, but got ${eps}; the default is 1e-5`);
  }
  if (!(eps >= 0 && eps < Infinity)) {
    throw new RangeError(`batch_norm eps must be non-negative, but got ${eps}; the default is 1e-5`);
  }
}

/**
 * @param allowed - layers take `null` for a cumulative average; functions keep no count of batches and take a number only.
 * @throws RangeError or TypeError for anything else.
 */
export function checkMomentum(momentum: unknown, allowed: 'number' | 'number or null' = 'number or null'): void {
  if (momentum === null && allowed === 'number or null') {
    return;
  }
  if (typeof momentum !== 'number') {
    throw new TypeError(`batch_norm: expected momentum to be a ${allowed}, got ${describeValue(momentum)}`);
  }
  if (!Number.isFinite(momentum)) {
    throw new RangeError(`batch_norm: expected momentum to be a finite ${allowed}, got ${momentum}`);
  }
}

/** @throws TypeError for a name that names no numerics, RangeError where the device cannot reproduce them. */
export function checkNumerics(numerics: unknown, device: Device): void {
  if (numerics !== 'stable' && numerics !== 'torch') {
    throw new TypeError(`batch_norm: expected numerics to be 'stable' or 'torch', got ${String(numerics)}`);
  }
  checkTorchDevice(numerics, device);
}

function checkTorchDevice(numerics: Numerics, device: Device): void {
  if (numerics === 'torch' && !torchKinds.has(device.kind)) {
    throw new RangeError(
      `numerics 'torch' reproduces the results of PyTorch's CPU kernels and exists on CPU devices only, got ${device.name}; ` +
        `use numerics: 'stable' there`,
    );
  }
}

/** @throws TypeError for what is none of the names. */
export function checkOneOf(name: string, value: unknown, allowed: readonly string[]): void {
  if (typeof value !== 'string' || !allowed.includes(value)) {
    throw new TypeError(`${name}: expected '${allowed.join("' or '")}', got ${String(value)}`);
  }
}

/** @throws RangeError or TypeError unless a layer can have so many channels. */
export function checkNumFeatures(numFeatures: unknown): void {
  if (typeof numFeatures !== 'number') {
    throw new TypeError(`numFeatures: expected a number, got ${describeValue(numFeatures)}`);
  }
  if (!Number.isSafeInteger(numFeatures) || numFeatures < 1) {
    throw new RangeError(`numFeatures: expected a positive integer, got ${numFeatures}`);
  }
  if (numFeatures > MAX_FEATURES) {
    throw new RangeError(
      `numFeatures: expected at most ${MAX_FEATURES} channels, whose statistics fill the 4 GiB that a device can address, got ` +
        `${numFeatures}; numFeatures is C of an input (N, C, …), not its number of values`,
    );
  }
}

/** @throws RangeError unless the input is (N, C) or (N, C, L). */
export function checkRank1d(shape: Shape): void {
  if (shape.length !== 2 && shape.length !== 3) {
    refuseRank('2D or 3D', '(N, C) or (N, C, L)', shape);
  }
}

/** @throws RangeError unless the input is (N, C, H, W). */
export function checkRank2d(shape: Shape): void {
  if (shape.length !== 4) {
    refuseRank('4D', '(N, C, H, W)', shape);
  }
}

/** @throws RangeError unless the input is (N, C, D, H, W). */
export function checkRank3d(shape: Shape): void {
  if (shape.length !== 5) {
    refuseRank('5D', '(N, C, D, H, W)', shape);
  }
}

function refuseRank(rank: string, dims: string, shape: Shape): never {
  throw new RangeError(
    `expected ${rank} input (got ${shape.length}D input): expected ${dims}, got shape ${formatShape(shape)}`,
  );
}

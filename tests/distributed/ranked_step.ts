/** One training step of one layer whose batch is spread over ranks, each with one or several devices: what the laws compare. */

import {
  BatchNorm1d,
  type BatchNormOptions,
  DataParallelWithCallBack,
  type ProcessGroup,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { expectSameBits } from '../support/bits.ts';
import { randomArray } from '../support/random.ts';

export interface RankedBatch {
  /** C and L. */
  readonly channels: number;
  readonly length: number;
  readonly seed: number;
  readonly options?: BatchNormOptions;
}

/** What a rank has: the samples of each of its devices. */
export interface RankShare {
  readonly devices: readonly string[];
  readonly samples: readonly number[];
}

export interface RankResult {
  readonly y: Float32Array;
  readonly dx: Float32Array;
  readonly state: Readonly<Record<string, Float32Array>>;
}

/** A layer with the state that the batch begins with. */
export async function layerFor<L extends BatchNorm1d>(layer: L, { channels, seed }: RankedBatch): Promise<L> {
  const vectors = { weight: randomArray(seed + 2, channels), bias: randomArray(seed + 3, channels) };
  await layer.loadStateDict(vectors, { strict: false });
  return layer;
}

/** The step on one device, by the plain layer. */
export async function wholeStep(batch: RankedBatch, device: string, samples: number): Promise<RankResult> {
  const layer = await layerFor(new BatchNorm1d(batch.channels, { ...batch.options, device }), batch);
  return stepOf(layer, layer, batch, device, 0, samples);
}

/** A layer of a rank, and what calls it. */
export async function rankedLayer(
  batch: RankedBatch,
  { devices, samples }: RankShare,
  processGroup: ProcessGroup,
): Promise<{ readonly layer: SynchronizedBatchNorm1d; readonly net: Caller }> {
  const [device = ''] = devices;
  const options = { ...batch.options, device, processGroup };
  const layer = await layerFor(new SynchronizedBatchNorm1d(batch.channels, options), batch);
  const isWrapped = devices.length > 1;
  const net = isWrapped ? new DataParallelWithCallBack(layer, { deviceIds: devices, splitSizes: samples }) : layer;
  return { layer, net: net };
}

export interface Caller {
  forward(x: Tensor): Promise<Tensor>;
}

/** Forward and backward of the samples from `first` on; all that it gives, with memory given back. */
export async function stepOf(
  layer: BatchNorm1d,
  net: Caller,
  { channels, length, seed }: RankedBatch,
  device: string,
  first: number,
  samples: number,
): Promise<RankResult> {
  const size = channels * length;
  const part = (salt: number): Float32Array => randomArray(seed + salt, (first + samples) * size).slice(first * size);
  const x = tensor(part(0), [samples, channels, length], { device, requiresGrad: true });
  const y = await net.forward(x);
  await y.backward(tensor(part(1), [samples, channels, length], { device }).donate());
  const values = { running_mean: layer.runningMean, running_var: layer.runningVar };
  const gradients = { dweight: layer.weight?.grad ?? null, dbias: layer.bias?.grad ?? null };
  const state: Record<string, Float32Array> = {};
  for (const [name, value] of Object.entries({ ...values, ...gradients })) state[name] = await read(value);
  const result = { y: await y.data(), dx: await read(x.grad), state };
  [x, y].forEach((item) => item.dispose());
  return result;
}

async function read(values: Tensor | null): Promise<Float32Array> {
  return (await values?.data()) ?? new Float32Array();
}

/** Fails unless the ranks have, put together, what one device has, and each the state of one. */
export function expectWhole(ranks: readonly RankResult[], whole: RankResult): void {
  const joined = (of: (rank: RankResult) => Float32Array): Float32Array =>
    Float32Array.from(ranks.flatMap((rank) => [...of(rank)]));
  expectSameBits(
    joined(({ y }) => y),
    whole.y,
    'y',
  );
  expectSameBits(
    joined(({ dx }) => dx),
    whole.dx,
    'dx',
  );
  for (const [rank, { state }] of ranks.entries()) {
    for (const [name, values] of Object.entries(whole.state)) {
      expectSameBits(state[name] ?? [], values, `${name} of rank ${rank}`);
    }
  }
}

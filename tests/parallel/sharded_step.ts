/** One training step of one layer over any split of a batch, in any order of arrival: what the laws compare. */

import {
  BatchNorm1d,
  BatchNorm2d,
  DataParallelWithCallBack,
  Module,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  tensor,
  type BatchNormOptions,
  type DeviceKind,
  type MemoryFormat,
  type Tensor,
} from 'syncbn';
import { expectSameBits } from '../support/bits.ts';
import { deviceNames } from '../support/device_kinds.ts';
import { randomArray, type Distribution } from '../support/random.ts';

/** A batch of shape (N, C) or (N, C, H, W), and the layer that gets it. */
export interface Batch {
  readonly kind: DeviceKind;
  readonly shape: readonly number[];
  readonly seed: number;
  readonly data?: Distribution;
  readonly options?: BatchNormOptions;
  readonly memoryFormat?: MemoryFormat;
}

/** Samples of each replica, and how many turns of the event loop each waits before it calls the layer. */
export interface Split {
  readonly samples: readonly number[];
  readonly turns?: readonly number[];
}

/** Everything a step computes. */
export type StepResult = Readonly<
  Record<'y' | 'runningMean' | 'runningVar' | 'dx' | 'dweight' | 'dbias', Float32Array>
>;

/** The shards of a batch, which scatter leaves alone because a class is no container. */
class Shards {
  readonly tensors: readonly Tensor[];
  readonly turns: readonly number[];

  constructor(tensors: readonly Tensor[], turns: readonly number[]) {
    this.tensors = tensors;
    this.turns = turns;
  }
}

/** Gives replica r the r-th shard, late. */
class ShardedLayer extends Module {
  readonly bn: SynchronizedBatchNorm1d | SynchronizedBatchNorm2d;
  private replica = 0;

  constructor(bn: SynchronizedBatchNorm1d | SynchronizedBatchNorm2d) {
    super();
    this.bn = bn;
  }

  override onReplicate(_context: object, replica: number): void {
    this.replica = replica;
  }

  async forward({ tensors, turns }: Shards): Promise<Tensor> {
    await eventLoopTurns(turns[this.replica] ?? 0);
    return this.bn.forward(at(tensors, this.replica));
  }
}

/** The step on one device, by the plain layer. */
export async function runOnOneDevice(batch: Batch): Promise<StepResult> {
  const layerClass = batch.shape.length === 4 ? BatchNorm2d : BatchNorm1d;
  const layer = await initialized(new layerClass(channelsOf(batch), batch.options), batch);
  const { x, dy } = inputs(batch);
  const y = await layer.forward(x);
  await y.backward(dy);
  dy.dispose();
  return resultOf(layer, y, [x]);
}

/** The step with each shard on a device of its own, by the synchronized layer. */
export async function runSplit(batch: Batch, { samples, turns = [] }: Split): Promise<StepResult> {
  const deviceIds = deviceNames(batch.kind, samples.length);
  const layerClass = batch.shape.length === 4 ? SynchronizedBatchNorm2d : SynchronizedBatchNorm1d;
  const layer = await initialized(new layerClass(channelsOf(batch), batch.options), batch);
  const net = new DataParallelWithCallBack(new ShardedLayer(layer), { deviceIds });
  const { x, dy } = inputs(batch);
  const shards = await cut(x, batch, samples, deviceIds);
  x.dispose();
  const y = await net.forward(new Shards(shards, turns));
  await y.backward(dy);
  dy.dispose();
  return resultOf(layer, y, shards);
}

/** Fails unless every bit of every result is the same. */
export function expectSameStep(actual: StepResult, expected: StepResult, label: string): void {
  for (const name of Object.keys(expected) as (keyof StepResult)[]) {
    expectSameBits(actual[name], expected[name], `${label}: ${name}`);
  }
}

/** Lets everything that is ready run, `turns` times. */
export async function eventLoopTurns(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
}

function channelsOf({ shape }: Batch): number {
  return at(shape, 1);
}

function inputs({ kind, shape, seed, data, memoryFormat = 'contiguous' }: Batch): { x: Tensor; dy: Tensor } {
  const [device = ''] = deviceNames(kind, 1);
  const length = shape.reduce((product, size) => product * size, 1);
  const options = { device, memoryFormat };
  return {
    x: tensor(randomArray(seed, length, data), shape, { ...options, requiresGrad: true }),
    dy: tensor(randomArray(seed + 1, length), shape, options),
  };
}

async function cut(
  x: Tensor,
  { shape, memoryFormat = 'contiguous' }: Batch,
  samples: readonly number[],
  deviceIds: readonly string[],
): Promise<Tensor[]> {
  const data = await x.data();
  const stride = shape.slice(1).reduce((product, size) => product * size, 1);
  let first = 0;
  return samples.map((count, r) => {
    const values = data.slice(first * stride, (first + count) * stride);
    first += count;
    return tensor(values, [count, ...shape.slice(1)], { device: at(deviceIds, r), requiresGrad: true, memoryFormat });
  });
}

async function initialized<L extends BatchNorm1d | BatchNorm2d>(layer: L, { kind, seed }: Batch): Promise<L> {
  const channels = layer.numFeatures;
  const vector = (offset: number): Tensor => tensor(randomArray(seed + offset, channels), [channels]);
  const weight = vector(2);
  const bias = vector(3);
  await Promise.all([layer.weight?.copy_(weight), layer.bias?.copy_(bias)]);
  weight.dispose();
  bias.dispose();
  await layer.to(at(deviceNames(kind, 1), 0));
  return layer;
}

/** Reads and frees everything. The gradients of the shards, in order, are that of the batch. */
async function resultOf(layer: BatchNorm1d | BatchNorm2d, y: Tensor, xs: readonly Tensor[]): Promise<StepResult> {
  const result = {
    y: await y.data(),
    runningMean: await read(layer.runningMean),
    runningVar: await read(layer.runningVar),
    dx: concatenated(await Promise.all(xs.map((x) => read(x.grad)))),
    dweight: await read(layer.weight?.grad ?? null),
    dbias: await read(layer.bias?.grad ?? null),
  };
  [y, ...xs, ...layer.parameters(), ...layer.buffers()].forEach((item) => item.dispose());
  return result;
}

/** What is absent is one NaN, so that it differs from everything but what is absent too. */
async function read(item: Tensor | null): Promise<Float32Array> {
  return item === null ? Float32Array.of(Number.NaN) : item.data();
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`expected an item at ${index} of ${items.length}`);
  return item;
}

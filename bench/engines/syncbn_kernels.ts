/**
 * This library's kernels, called on the device without tensors or autograd: what the layers in `syncbn_layers.ts` add is
 * the difference. Variants: `stable`, `torch`, `in-place`.
 */

import { type Device, type DeviceBuffer, devices, init, STATISTICS_ROWS } from 'syncbn';
import type { Batch, Engine, LayerResults, LayerRun } from '../engine.ts';
import { packageVersion } from '../repository.ts';
import { elementCount, sizesOf } from '../workloads.ts';

export async function openSyncbnKernels(): Promise<Engine> {
  await init();
  const device = devices.get('cpu:0');
  let residents: Resident[] = [];
  const unload = () => {
    for (const resident of residents) resident.dispose();
    residents = [];
  };
  return {
    version: `syncbn ${packageVersion()}, kernels`,
    load(batches) {
      unload();
      residents = batches.map((batch) => new Resident(device, batch));
      return Promise.resolve();
    },
    layers: (variant) => residents.map((resident) => resident.run(variant)),
    unload,
  };
}

type ForwardArguments = Parameters<Device['batchNorm']>[0];
type BackwardArguments = Parameters<Device['batchNormBackward']>[0];
type LargeBuffer = 'x' | 'y' | 'dy' | 'dx';
type ChannelBuffer = 'weight' | 'bias' | 'dweight' | 'dbias' | 'mean' | 'variance' | 'nextMean' | 'nextVariance';
type BufferName = LargeBuffer | ChannelBuffer | 'statistics';

/** One layer's buffers, shared by all variants. */
class Resident {
  readonly #device: Device;
  readonly #batch: Batch;
  readonly #layout: ForwardArguments['layout'];
  readonly #buffers: Readonly<Record<BufferName, DeviceBuffer>>;
  /** Whether `dy` holds what an in-place step has left there. */
  #isDySpent = true;

  constructor(device: Device, batch: Batch) {
    this.#device = device;
    this.#batch = batch;
    const sizes = sizesOf(batch.shape);
    this.#layout = { ...sizes, format: batch.format };
    const large = () => device.allocate(elementCount(batch.shape));
    const perChannel = () => device.allocate(sizes.channels);
    this.#buffers = {
      x: large(),
      y: large(),
      dy: large(),
      dx: large(),
      weight: perChannel(),
      bias: perChannel(),
      dweight: perChannel(),
      dbias: perChannel(),
      mean: perChannel(),
      variance: perChannel(),
      nextMean: perChannel(),
      nextVariance: perChannel(),
      statistics: device.allocate(STATISTICS_ROWS * sizes.channels),
    };
    this.#writeLogical(this.#buffers.x, batch.x);
    this.#refreshDy();
    device.write(this.#buffers.weight, batch.weight);
    device.write(this.#buffers.bias, batch.bias);
    device.fill(this.#buffers.mean, 0);
    device.fill(this.#buffers.variance, 1);
  }

  run(variant: string): LayerRun {
    const device = this.#device;
    const layout = this.#layout;
    const { x, y, dy, dx, weight, bias, dweight, dbias, statistics, mean, variance, nextMean, nextVariance } =
      this.#buffers;
    const isInPlace = variant === 'in-place';
    const running = { mean, variance, nextMean, nextVariance, momentum: 0.1 };
    const numerics = variant === 'torch' ? 'torch' : 'stable';
    const forward: ForwardArguments = { x, y, layout, numerics, eps: 1e-5, weight, bias, statistics, running };
    const gradients = { dx: isInPlace ? dy : dx, dweight, dbias };
    const backward: BackwardArguments = {
      x,
      dy,
      ...gradients,
      layout,
      statistics,
      weight,
      batchStatistics: true,
    };
    const runBackward = () => {
      device.batchNormBackward(backward);
      this.#isDySpent ||= isInPlace;
    };
    return {
      refresh: () => this.#refreshDy(),
      forward: () => device.batchNorm(forward),
      backward: runBackward,
      results: async (): Promise<LayerResults> => {
        device.batchNorm(forward);
        runBackward();
        return {
          y: await this.#readLogical(y),
          dx: await this.#readLogical(gradients.dx),
          dweight: await device.read(dweight),
          dbias: await device.read(dbias),
        };
      },
    };
  }

  dispose(): void {
    for (const buffer of Object.values(this.#buffers)) this.#device.release(buffer);
  }

  #refreshDy(): void {
    if (!this.#isDySpent) return;
    this.#writeLogical(this.#buffers.dy, this.#batch.dy);
    this.#isDySpent = false;
  }

  /** Writes values in logical order; `y`, free between steps, holds them while they are rearranged. */
  #writeLogical(buffer: DeviceBuffer, values: Float32Array): void {
    const isLast = this.#layout.format === 'channels_last';
    const { y } = this.#buffers;
    this.#device.write(isLast ? y : buffer, values);
    if (isLast) this.#device.permute(y, buffer, { ...this.#layout, format: 'contiguous' });
  }

  async #readLogical(buffer: DeviceBuffer): Promise<Float32Array> {
    if (this.#layout.format === 'contiguous') return this.#device.read(buffer);
    const logical = this.#device.allocate(buffer.length);
    this.#device.permute(buffer, logical, this.#layout);
    const values = await this.#device.read(logical);
    this.#device.release(logical);
    return values;
  }
}

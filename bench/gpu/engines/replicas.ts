/**
 * This library on two WebGPU devices of one adapter: a network of batch norm layers, its inputs resident. Variants: `synchronized`;
 * `apart`, the same layers with statistics of their own, which is the devices' own work; `round-trip`, what one answer of the GPU
 * costs: 4 bytes are copied and mapped.
 */

import {
  BatchNorm2d,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  SynchronizedBatchNorm2d,
  type Tensor,
  type WebGpuDevice,
} from 'syncbn';
import type { Engine, LayerRun } from '../../engine.ts';
import {
  differentiate,
  dropResults,
  joined,
  networkFor,
  shardBatch,
  type ShardedBatch,
  type ShardedNetwork,
  ShardedStep,
} from '../../engines/sharded_network.ts';
import { finisherOf } from '../request_device.ts';

export async function openReplicas(version: string): Promise<Engine> {
  const both: WebGpuDevice[] = [];
  for (let i = 0; i < 2; i++) both.push(await devices.create({ powerPreference: 'high-performance' }));
  const finishers = both.map((device) => finisherOf(() => device.gpuDevice));
  const names = both.map(({ name }) => name);
  const [first] = both;
  if (first === undefined) throw new Error('there is no first device');
  const mapping = new Mapping(first.gpuDevice);
  let runs: Record<string, LayerRun> = {};
  let residents: readonly ShardedBatch[] = [];
  const unload = () => {
    for (const shard of residents.flatMap(({ xs, dys }) => [...xs, ...dys])) shard.dispose();
    residents = [];
    runs = {};
  };
  return {
    version: `syncbn ${version}, 2 devices`,
    async load(batches) {
      unload();
      residents = batches.map((batch) => shardBatch(batch, names));
      const options = { deviceIds: names };
      const synchronized = new DataParallelWithCallBack(
        await networkFor(batches, SynchronizedBatchNorm2d, first.name),
        options,
      );
      const apart = new DataParallel(await networkFor(batches, BatchNorm2d, first.name), options);
      runs = {
        synchronized: new ReplicasRun(names, residents, synchronized),
        apart: new ReplicasRun(names, residents, apart),
        'round-trip': mapping,
      };
    },
    layers: (variant) => {
      const run = runs[variant];
      return run === undefined ? [] : [run];
    },
    async finish() {
      await Promise.all(finishers.map((finished) => finished()));
    },
    unload,
  };
}

type Network = DataParallel<ShardedNetwork>;

/** All layers count as one here: one forward and one backward pass run them. */
class ReplicasRun implements LayerRun {
  readonly #names: readonly string[];
  readonly #batches: readonly ShardedBatch[];
  readonly #network: Network;
  #ys: readonly Tensor[] = [];

  constructor(names: readonly string[], batches: readonly ShardedBatch[], network: Network) {
    this.#names = names;
    this.#batches = batches;
    this.#network = network;
  }

  async forward(): Promise<void> {
    const step = new ShardedStep(this.#names, this.#batches);
    await this.#network.forward(step);
    this.#ys = step.ys;
  }

  async backward(): Promise<void> {
    await differentiate(this.#ys, this.#batches);
    this.#drop();
  }

  async results() {
    await this.forward();
    const y = await joined(this.#ys);
    await differentiate(this.#ys, this.#batches);
    const [weight, bias] = [...this.#network.module.parameters()];
    const results = {
      y,
      dx: await joined(this.#batches.flatMap(({ xs }) => xs.map(({ grad }) => grad))),
      dweight: await joined([weight?.grad ?? null]),
      dbias: await joined([bias?.grad ?? null]),
    };
    this.#drop();
    return results;
  }

  #drop(): void {
    dropResults(this.#network, this.#ys, this.#batches);
    this.#ys = [];
  }
}

/** What any read back costs at least. */
class Mapping implements LayerRun {
  readonly #device: GPUDevice;
  readonly #source: GPUBuffer;
  readonly #staging: GPUBuffer;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#source = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC });
    this.#staging = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  }

  async forward(): Promise<void> {
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#source, 0, this.#staging, 0, 4);
    this.#device.queue.submit([encoder.finish()]);
    await this.#staging.mapAsync(GPUMapMode.READ);
    this.#staging.getMappedRange();
    this.#staging.unmap();
  }

  results(): Promise<never> {
    return Promise.reject(new Error('a round trip computes nothing'));
  }
}

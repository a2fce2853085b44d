/**
 * This library on two WebGPU devices of one adapter: a network of batch norm layers, its inputs resident. Variants: `synchronized`;
 * `apart`, the same layers with statistics of their own, which is the devices' own work; `round-trip`, what one answer of the GPU
 * costs: 4 bytes are copied and mapped.
 */

import {
  BatchNorm2d,
  DataParallel,
  DataParallelWithCallBack,
  defineFunction,
  devices,
  SynchronizedBatchNorm2d,
  tensor,
  type Tensor,
  type WebGpuDevice,
} from 'syncbn';
import type { Batch, Engine, LayerRun } from '../../engine.ts';
import { shardBatch, type ShardedBatch, ShardedNetwork, ShardedStep } from '../../engines/sharded_network.ts';
import { finisherOf } from '../request_device.ts';

export async function openReplicas(version: string): Promise<Engine> {
  const both: WebGpuDevice[] = [];
  for (let i = 0; i < 2; i++) both.push(await devices.create({ powerPreference: 'high-performance' }));
  const finishers = both.map(({ gpuDevice }) => finisherOf(gpuDevice));
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
        await networkOf(batches, SynchronizedBatchNorm2d, names),
        options,
      );
      const apart = new DataParallel(await networkOf(batches, BatchNorm2d, names), options);
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

async function networkOf(
  batches: readonly Batch[],
  LayerClass: typeof BatchNorm2d,
  [device = '']: readonly string[],
): Promise<ShardedNetwork> {
  const layers = batches.map(({ shape }) => new LayerClass(shape[1] ?? 0, { device }));
  for (const [i, { weight, bias }] of batches.entries()) {
    await layers[i]?.weight?.copy_(weight);
    await layers[i]?.bias?.copy_(bias);
  }
  return new ShardedNetwork(layers);
}

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
    await this.#differentiate();
    this.#drop();
  }

  async results() {
    await this.forward();
    const y = await joined(this.#ys);
    await this.#differentiate();
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

  /** One backward pass, which begins with the gradients of all outputs. */
  async #differentiate(): Promise<void> {
    const end = defineFunction({
      name: 'end',
      forward: (_context, ..._ys: Tensor[]) => tensor([0], [1]),
      backward: () => this.#batches.flatMap(({ dys }) => dys),
    });
    await (await end(...this.#ys)).backward();
  }

  #drop(): void {
    for (const y of this.#ys) y.dispose();
    this.#ys = [];
    for (const x of this.#batches.flatMap(({ xs }) => xs)) {
      x.grad?.dispose();
      x.grad = null;
    }
    this.#network.zeroGrad();
  }
}

/** Values of shards of consecutive samples, end to end. */
async function joined(shards: readonly (Tensor | null)[]): Promise<number[]> {
  const values: number[] = [];
  for (const shard of shards) values.push(...((await shard?.data()) ?? []));
  return values;
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

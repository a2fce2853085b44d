/**
 * A network of batch norm layers in one `DataParallel`, its inputs resident: each replica finds its shard on its own device, so
 * nothing is scattered and nothing gathered, as between the layers of a larger network.
 */

import {
  BatchNorm2d,
  DataParallel,
  DataParallelWithCallBack,
  defineFunction,
  Module,
  Sequential,
  SynchronizedBatchNorm2d,
  tensor,
  type Tensor,
} from 'syncbn';
import type { Batch, LayerResults, LayerRun } from '../engine.ts';
import { elementCount, sizesOf } from '../workloads.ts';

/** `apart`: each replica has statistics of its own. */
export type NetworkKind = 'synchronized' | 'apart';

/** One input and the gradient of the output, cut along the batch: one shard per device. */
interface ShardedBatch {
  readonly xs: readonly Tensor[];
  readonly dys: readonly Tensor[];
}

/** Both kinds of networks on the same devices, with the same tensors. */
export class ShardedNetwork {
  readonly #devices: readonly string[];
  readonly #batches: readonly ShardedBatch[];
  readonly #networks: Readonly<Record<NetworkKind, DataParallel<Layers>>>;

  private constructor(
    devices: readonly string[],
    batches: readonly ShardedBatch[],
    networks: Readonly<Record<NetworkKind, DataParallel<Layers>>>,
  ) {
    this.#devices = devices;
    this.#batches = batches;
    this.#networks = networks;
  }

  /** @param chainLength - see `Engine.load`. */
  static async place(
    devices: readonly string[],
    batches: readonly Batch[],
    chainLength: number,
  ): Promise<ShardedNetwork> {
    const options = { deviceIds: devices };
    const layers = chainLength === 1 ? batches : Array.from({ length: chainLength }, () => batches.slice(0, 1)).flat();
    const [first = ''] = devices;
    return new ShardedNetwork(
      devices,
      batches.map((batch) => shard(batch, devices)),
      {
        synchronized: new DataParallelWithCallBack(await Layers.make(layers, SynchronizedBatchNorm2d, first), options),
        apart: new DataParallel(await Layers.make(layers, BatchNorm2d, first), options),
      },
    );
  }

  /** All layers count as one: one forward and one backward pass run them. */
  run(kind: NetworkKind): LayerRun {
    const network = this.#networks[kind];
    let step = new Step(this.#devices, this.#batches);
    const forward = async () => {
      step = new Step(this.#devices, this.#batches);
      await network.forward(step);
    };
    const differentiate = async () => {
      const end = defineFunction({
        name: 'end',
        forward: (_context, ..._ys: Tensor[]) => tensor([0], [1]),
        backward: () => this.#batches.flatMap(({ dys }) => dys),
      });
      await (await end(...step.ends())).backward();
    };
    const drop = () => {
      for (const made of step.made) made.dispose();
      for (const x of this.#batches.flatMap(({ xs }) => xs)) {
        x.grad?.dispose();
        x.grad = null;
      }
      network.module.zeroGrad();
    };
    return {
      forward,
      backward: async () => {
        await differentiate();
        drop();
      },
      results: async (): Promise<LayerResults> => {
        await forward();
        const y = await joined(step.ends());
        await differentiate();
        const [weight, bias] = [...network.module.parameters()];
        const results = {
          y,
          dx: await joined(this.#batches.flatMap(({ xs }) => xs.map(({ grad }) => grad))),
          dweight: await joined([weight?.grad ?? null]),
          dbias: await joined([bias?.grad ?? null]),
        };
        drop();
        return results;
      },
    };
  }

  dispose(): void {
    for (const { xs, dys } of this.#batches) for (const held of [...xs, ...dys]) held.dispose();
    for (const { module } of Object.values(this.#networks)) {
      for (const held of [...module.parameters(), ...module.buffers()]) held.dispose();
    }
  }
}

/** What a forward pass takes and leaves. An instance of a class, so that `DataParallel` shares it and does not look inside. */
class Step {
  /** Every output of a layer. */
  readonly made: Tensor[] = [];
  readonly #devices: readonly string[];
  readonly #batches: readonly ShardedBatch[];
  /** The last output that comes of each input. */
  readonly #outputs = new Map<Tensor, Tensor>();

  constructor(devices: readonly string[], batches: readonly ShardedBatch[]) {
    this.#devices = devices;
    this.#batches = batches;
  }

  /** The outputs that gradients begin with: batch by batch, and shard by shard within one. */
  ends(): Tensor[] {
    return this.#batches.flatMap(({ xs }) => xs.flatMap((x) => this.#outputs.get(x) ?? []));
  }

  /** Runs a layer on the input of its own, or on what came of the only one before. */
  async run(layer: BatchNorm2d, index: number): Promise<void> {
    // A replica's layers are where its parameters are.
    const replica = this.#devices.indexOf(layer.weight?.device ?? '');
    const x = (this.#batches[index] ?? this.#batches[0])?.xs[replica];
    if (x === undefined) throw new RangeError(`layer ${index} has no input on ${layer.weight?.device ?? 'no device'}`);
    const y = await layer.forward(this.#outputs.get(x) ?? x);
    this.made.push(y);
    this.#outputs.set(x, y);
  }
}

/** Runs its layers in order. */
class Layers extends Module {
  layers: Sequential;

  private constructor(layers: readonly BatchNorm2d[]) {
    super();
    this.layers = new Sequential(...layers);
  }

  static async make(batches: readonly Batch[], LayerClass: typeof BatchNorm2d, device: string): Promise<Layers> {
    const layers: BatchNorm2d[] = [];
    for (const { shape, weight, bias } of batches) {
      const layer = new LayerClass(sizesOf(shape).channels, { device });
      await layer.weight?.copy_(weight);
      await layer.bias?.copy_(bias);
      layers.push(layer);
    }
    return new Layers(layers);
  }

  async forward(step: Step): Promise<null> {
    const layers = [...this.layers.children()] as BatchNorm2d[];
    for (const [i, layer] of layers.entries()) await step.run(layer, i);
    return null;
  }
}

/** Shards of ⌈N / W⌉ samples; devices for which none are left get empty ones. */
function shard({ shape, format, x, dy }: Batch, devices: readonly string[]): ShardedBatch {
  const [samples = 0, ...rest] = shape;
  const sampleSize = elementCount(rest);
  const chunk = Math.ceil(samples / devices.length);
  const place = (values: Float32Array, requiresGrad: boolean) =>
    devices.map((device, i) => {
      const first = Math.min(i * chunk, samples);
      const end = Math.min(first + chunk, samples);
      const part = values.subarray(first * sampleSize, end * sampleSize);
      return tensor(part, [end - first, ...rest], { device, requiresGrad, memoryFormat: format });
    });
  return { xs: place(x, true), dys: place(dy, false) };
}

/** Values of shards of consecutive samples, end to end. */
async function joined(shards: readonly (Tensor | null)[]): Promise<number[]> {
  const values: number[] = [];
  for (const one of shards) values.push(...((await one?.data()) ?? []));
  return values;
}

/** Layers whose inputs lie on the devices already: no scatter and no gather, as between the layers of a larger network. */

import { type BatchNorm2d, defineFunction, Module, Sequential, tensor, type Tensor } from 'syncbn';
import type { Batch } from '../engine.ts';
import { elementCount } from '../workloads.ts';

/** One layer's input and the gradient of its output, cut along the batch: one shard per device. */
export interface ShardedBatch {
  readonly xs: readonly Tensor[];
  readonly dys: readonly Tensor[];
}

/** What a forward pass takes and leaves. An instance of a class, so that `DataParallel` shares it and does not look inside. */
export class ShardedStep {
  readonly #devices: readonly string[];
  readonly #batches: readonly ShardedBatch[];
  readonly #outputs = new Map<Tensor, Tensor>();

  constructor(devices: readonly string[], batches: readonly ShardedBatch[]) {
    this.#devices = devices;
    this.#batches = batches;
  }

  /** The outputs: layer by layer, and shard by shard within one. */
  get ys(): Tensor[] {
    return this.#batches.flatMap(({ xs }) => xs.flatMap((x) => this.#outputs.get(x) ?? []));
  }

  /** The input of a layer that lies on a device. */
  xOf(layer: number, device: string): Tensor {
    const x = this.#batches[layer]?.xs[this.#devices.indexOf(device)];
    if (x === undefined) throw new RangeError(`layer ${layer} has no input on ${device}`);
    return x;
  }

  keep(x: Tensor, y: Tensor): void {
    this.#outputs.set(x, y);
  }
}

/** Runs its layers in order, each on an input of its own. */
export class ShardedNetwork extends Module {
  layers: Sequential;

  constructor(layers: readonly BatchNorm2d[]) {
    super();
    this.layers = new Sequential(...layers);
  }

  async forward(step: ShardedStep): Promise<null> {
    const layers = [...this.layers.children()] as BatchNorm2d[];
    for (const [i, layer] of layers.entries()) {
      // A replica's layers are where its parameters are.
      const x = step.xOf(i, layer.weight?.device ?? '');
      step.keep(x, await layer.forward(x));
    }
    return null;
  }
}

/** Shards of ⌈N / W⌉ samples; devices for which none are left get empty ones. */
export function shardBatch({ shape, format, x, dy }: Batch, devices: readonly string[]): ShardedBatch {
  const [samples = 0, ...rest] = shape;
  const sampleSize = elementCount(rest);
  const chunk = Math.ceil(samples / devices.length);
  const place = (values: Float32Array, requiresGrad: boolean) =>
    devices.map((device, i) => {
      const first = Math.min(i * chunk, samples);
      const end = Math.min(first + chunk, samples);
      const shard = values.subarray(first * sampleSize, end * sampleSize);
      return tensor(shard, [end - first, ...rest], { device, requiresGrad, memoryFormat: format });
    });
  return { xs: place(x, true), dys: place(dy, false) };
}

/** A layer for each batch, with its parameters, on a device. */
export async function networkFor(
  batches: readonly Batch[],
  LayerClass: typeof BatchNorm2d,
  device: string,
): Promise<ShardedNetwork> {
  const layers = batches.map(({ shape }) => new LayerClass(shape[1] ?? 0, { device }));
  for (const [i, { weight, bias }] of batches.entries()) {
    await layers[i]?.weight?.copy_(weight);
    await layers[i]?.bias?.copy_(bias);
  }
  return new ShardedNetwork(layers);
}

/** One backward pass, which begins with the gradients of all outputs. */
export async function differentiate(ys: readonly Tensor[], batches: readonly ShardedBatch[]): Promise<void> {
  const end = defineFunction({
    name: 'end',
    forward: (_context, ..._ys: Tensor[]) => tensor([0], [1]),
    backward: () => batches.flatMap(({ dys }) => dys),
  });
  await (await end(...ys)).backward();
}

/** Gives back the outputs and gradients of a step. */
export function dropResults(network: Module, ys: readonly Tensor[], batches: readonly ShardedBatch[]): void {
  for (const y of ys) y.dispose();
  for (const x of batches.flatMap(({ xs }) => xs)) {
    x.grad?.dispose();
    x.grad = null;
  }
  network.zeroGrad();
}

/** Values of shards of consecutive samples, end to end. */
export async function joined(shards: readonly (Tensor | null)[]): Promise<number[]> {
  const values: number[] = [];
  for (const shard of shards) values.push(...((await shard?.data()) ?? []));
  return values;
}

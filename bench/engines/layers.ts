/** This library as its users call it: layers, tensors and `backward()`. Variants: `stable`, `torch`, `in-place`. */

import { BatchNorm1d, BatchNorm2d, BatchNorm3d, init, type Numerics, tensor, type Tensor } from 'syncbn';
import library from '../../package.json' with { type: 'json' };
import type { Batch, Engine, LayerResults, LayerRun } from '../engine.ts';
import { sizesOf } from '../workloads.ts';

type Layer = BatchNorm1d | BatchNorm2d | BatchNorm3d;

export function open(): Promise<Engine> {
  return openLayers('cpu:0');
}

/** @param device - `stable` is the only numerics of a GPU. */
export async function openLayers(device: string): Promise<Engine> {
  await init([device]);
  let residents: Resident[] = [];
  const unload = () => {
    for (const resident of residents) resident.dispose();
    residents = [];
  };
  return {
    version: `syncbn ${library.version}`,
    async load(batches) {
      unload();
      for (const batch of batches) residents.push(new Resident(batch, device, await layersFor(batch, device)));
    },
    layers: (variant) => residents.map((resident) => resident.run(variant)),
    unload,
  };
}

interface Layers {
  readonly stable: Layer;
  readonly torch: Layer;
}

async function layersFor(batch: Batch, device: string): Promise<Layers> {
  const stable = await layerFor(batch, 'stable', device);
  return { stable, torch: device.startsWith('cpu') ? await layerFor(batch, 'torch', device) : stable };
}

async function layerFor({ shape, weight, bias }: Batch, numerics: Numerics, device: string): Promise<Layer> {
  const { channels } = sizesOf(shape);
  const LayerClass = shape.length === 5 ? BatchNorm3d : shape.length === 4 ? BatchNorm2d : BatchNorm1d;
  const layer = new LayerClass(channels, { numerics, device });
  await layer.weight?.copy_(weight);
  await layer.bias?.copy_(bias);
  return layer;
}

/** One layer's tensors, shared by all variants. */
class Resident {
  readonly #batch: Batch;
  readonly #device: string;
  readonly #layers: Layers;
  readonly #x: Tensor;
  #dy: Tensor;
  /** Whether `#dy` holds what an in-place step has left there. */
  #isDySpent = false;

  constructor(batch: Batch, device: string, layers: Layers) {
    this.#batch = batch;
    this.#device = device;
    this.#layers = layers;
    this.#x = this.#place(batch.x, true);
    this.#dy = this.#place(batch.dy, false);
  }

  run(variant: string): LayerRun {
    const layer = variant === 'torch' ? this.#layers.torch : this.#layers.stable;
    const isInPlace = variant === 'in-place';
    let y: Tensor | null = null;
    return {
      refresh: () => this.#refreshDy(),
      forward: async () => {
        y = await layer.forward(this.#x);
      },
      backward: async () => {
        await y?.backward(isInPlace ? this.#dy.donate() : this.#dy);
        this.#drop(y, layer, isInPlace);
      },
      results: () => this.#results(layer, isInPlace),
    };
  }

  dispose(): void {
    this.#x.dispose();
    this.#dy.dispose();
    for (const layer of Object.values(this.#layers) as Layer[]) {
      for (const held of [...layer.parameters(), ...layer.buffers()]) held.dispose();
    }
  }

  #place(values: Float32Array, requiresGrad: boolean): Tensor {
    const { shape, format } = this.#batch;
    return tensor(values, shape, { requiresGrad, memoryFormat: format, device: this.#device });
  }

  #refreshDy(): void {
    if (!this.#isDySpent) return;
    this.#dy.dispose();
    this.#dy = this.#place(this.#batch.dy, false);
    this.#isDySpent = false;
  }

  async #results(layer: Layer, isInPlace: boolean): Promise<LayerResults> {
    const y = await layer.forward(this.#x);
    const values = await y.data();
    await y.backward(isInPlace ? this.#dy.donate() : this.#dy);
    const results = {
      y: values,
      dx: (await this.#x.grad?.data()) ?? [],
      dweight: (await layer.weight?.grad?.data()) ?? [],
      dbias: (await layer.bias?.grad?.data()) ?? [],
    };
    this.#drop(y, layer, isInPlace);
    return results;
  }

  /** Frees what a step has left. What it has written over `dy` is the `dy` of the next: any values will do, none need be copied. */
  #drop(y: Tensor | null, layer: Layer, isInPlace: boolean): void {
    const { grad: dx } = this.#x;
    if (dx === null) throw new Error('backward() left no gradient of the input');
    y?.dispose();
    this.#x.grad = null;
    layer.zeroGrad();
    if (isInPlace) {
      this.#dy = dx;
      this.#isDySpent = true;
    } else {
      dx.dispose();
    }
  }
}

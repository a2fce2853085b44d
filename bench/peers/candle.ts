/** candle, compiled to WebAssembly by `scripts/setup/candle.mjs`. It knows one format, (N, C, …), and has one thread. */

import { createRequire } from 'node:module';
import type { Batch, Engine, LayerRun } from '../engine.ts';
import { repositoryFile } from '../repository.ts';
import { elementCount, sizesOf } from '../workloads.ts';

/** A layer of `bench/candle/src/lib.rs`. */
interface CandleLayer {
  forward(): void;
  step(): void;
  /** y, dx, dweight and dbias, end to end. */
  results(): Float32Array;
  free(): void;
}

type LayerClass = new (
  shape: Uint32Array,
  x: Float32Array,
  dy: Float32Array,
  weight: Float32Array,
  bias: Float32Array,
) => CandleLayer;

/** @throws Error where it has not been built. */
export function open(): Promise<Engine> {
  const { Layer } = createRequire(import.meta.url)(repositoryFile('bench/build/candle/candle.js')) as {
    Layer: LayerClass;
  };
  let layers: { readonly layer: CandleLayer; readonly run: LayerRun }[] = [];
  const unload = () => {
    for (const { layer } of layers) layer.free();
    layers = [];
  };
  return Promise.resolve({
    version: 'candle 0.11.1',
    load(batches) {
      unload();
      layers = batches.map((batch) => place(Layer, batch));
    },
    layers: () => layers.map(({ run }) => run),
    unload,
  });
}

function place(Layer: LayerClass, { shape, x, dy, weight, bias }: Batch): { layer: CandleLayer; run: LayerRun } {
  const layer = new Layer(Uint32Array.from(shape), x, dy, weight, bias);
  const count = elementCount(shape);
  const { channels } = sizesOf(shape);
  const results = () => {
    const values = layer.results();
    const [y, dx] = [values.subarray(0, count), values.subarray(count, 2 * count)];
    const [dweight, dbias] = [values.subarray(2 * count, 2 * count + channels), values.subarray(2 * count + channels)];
    return Promise.resolve({ y, dx, dweight, dbias });
  };
  return { layer, run: { forward: () => layer.forward(), step: () => layer.step(), results } };
}

/** This library on `webgpu:0`. Variants: `stable`, layers through the public API, and `moments`, that one kernel alone. */

import { devices, functional, tensor, type Tensor } from 'syncbn';
import type { Batch, Engine, LayerRun } from '../../engine.ts';
import { finisherOf } from '../../gpu/request_device.ts';
import { openLayers } from '../layers.ts';

export async function open(): Promise<Engine> {
  const device = await devices.create({ powerPreference: 'high-performance' });
  const layers = await openLayers(device.name);
  const finished = finisherOf(() => device.gpuDevice);
  /** Reads back of the moments of this pass. */
  const pending: Promise<unknown>[] = [];
  let inputs: { readonly batch: Batch; readonly x: Tensor }[] = [];
  const unload = async () => {
    for (const { x } of inputs) x.dispose();
    inputs = [];
    await layers.unload();
  };
  const momentsOf = (batch: Batch, x: Tensor): LayerRun => ({
    forward: () => void pending.push(functional.moments(x)),
    results: async () => {
      const merged = await functional.mergeMoments([await functional.moments(x)], device.name);
      const [weight, bias] = [batch.weight, batch.bias].map((values) =>
        tensor(values, [values.length], { device: device.name }),
      );
      const statistics = await functional.finalize(merged, x);
      const y = await functional.normalize(x, statistics, { weight: weight ?? null, bias: bias ?? null });
      return { y: await y.data() };
    },
  });
  return {
    version: layers.version,
    async load(batches, chainLength) {
      await unload();
      await layers.load(batches, chainLength);
      inputs = batches.map((batch) => {
        const { shape, format: memoryFormat } = batch;
        return { batch, x: tensor(batch.x, shape, { device: device.name, memoryFormat }) };
      });
    },
    layers: (variant) =>
      variant === 'moments' ? inputs.map(({ batch, x }) => momentsOf(batch, x)) : layers.layers(variant),
    async finish() {
      await Promise.all(pending.splice(0));
      await finished();
    },
    bytesMoved: () => {
      const { work } = device.details();
      return work === null ? 0 : work.bytesRead + work.bytesWritten;
    },
    unload,
  };
}

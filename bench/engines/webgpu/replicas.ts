/**
 * This library on two WebGPU devices of one adapter. Variants: `synchronized`; `apart`, the same layers with statistics of their own,
 * which is the devices' own work; `round-trip`, what one answer of the GPU costs: 4 bytes are copied and mapped.
 */

import { devices } from 'syncbn';
import library from '../../../package.json' with { type: 'json' };
import type { Engine, LayerRun } from '../../engine.ts';
import { finisherOf, MAP_MODE_READ, USAGE } from '../../gpu/request_device.ts';
import { type NetworkKind, ShardedNetwork } from '../sharded_network.ts';

export async function open(): Promise<Engine> {
  const first = await devices.create({ powerPreference: 'high-performance' });
  const both = [first, await devices.create({ powerPreference: 'high-performance' })];
  const finishers = both.map((device) => finisherOf(() => device.gpuDevice));
  const trip = roundTrip(first.gpuDevice);
  let network: ShardedNetwork | null = null;
  const unload = () => {
    network?.dispose();
    network = null;
  };
  return {
    version: `syncbn ${library.version}, 2 devices`,
    async load(batches, chainLength) {
      unload();
      network = await ShardedNetwork.place(
        both.map(({ name }) => name),
        batches,
        chainLength,
      );
    },
    layers: (variant) => {
      if (variant === 'round-trip') return [trip];
      return network === null ? [] : [network.run(variant as NetworkKind)];
    },
    async finish() {
      await Promise.all(finishers.map((finished) => finished()));
    },
    unload,
  };
}

/** What any read back costs at least. */
function roundTrip(device: GPUDevice): LayerRun {
  const source = device.createBuffer({ size: 4, usage: USAGE.COPY_SRC });
  const staging = device.createBuffer({ size: 4, usage: USAGE.COPY_DST | USAGE.MAP_READ });
  return {
    async forward() {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(source, 0, staging, 0, 4);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(MAP_MODE_READ);
      staging.getMappedRange();
      staging.unmap();
    },
    results: () => Promise.reject(new Error('a round trip computes nothing')),
  };
}

/** All ways to train one network, measured in turns: in Node and in pages. */

import * as tf from '@tensorflow/tfjs-core';
import { batchOf, type Network } from './networks.ts';
import { type Shares, sharesOf } from './shares.ts';
import { prepare, type Way, type WayName, wayNames } from './ways.ts';

/** What was found of a network on a backend: seconds at best, or why there are none. */
export interface Finding {
  readonly network: string;
  readonly backend: string;
  readonly times: Partial<Record<WayName, number | string>>;
  readonly shares: Shares | null;
}

/**
 * Measures all ways, which take turns, and shares of a step on one device of the CPU.
 * @param backend - of tfjs, which is active.
 */
export async function measure(network: Network, backend: string, rounds: number): Promise<Finding> {
  const batch = batchOf(network);
  const times: Partial<Record<WayName, number | string>> = {};
  const ways: Way[] = [];
  for (const name of wayNames) {
    // Off wasm the kernels change nothing; on its cpu backend tfjs takes seconds for each.
    if (backend !== 'wasm' && name === 'kernels') continue;
    if (backend === 'cpu' && name !== 'tfjs' && name !== 'layers') continue;
    const way = await prepare(name, network, batch, backend);
    try {
      await way.step();
      ways.push(way);
    } catch (error) {
      times[name] = firstLine(error);
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) {
      const start = performance.now();
      await way.step();
      const seconds = (performance.now() - start) / 1000;
      times[way.name] = Math.min(seconds, Number(times[way.name] ?? Infinity));
    }
  }
  const adapter = ways.find(({ name }) => name === 'adapter 1');
  const shares = adapter === undefined || backend === 'webgpu' ? null : await sharesOf(adapter);
  tf.dispose(batch);
  return { network: network.name, backend, times, shares };
}

function firstLine(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line;
}

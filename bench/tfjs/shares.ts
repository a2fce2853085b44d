/** Where the time of a step goes, by a clock around what the adapter asks of the device in the calling thread. */

import { devices } from 'syncbn';
import type { Way } from './ways.ts';

/** Parts of a step's time. */
export interface Shares {
  /** Kernels of the library: batch norm, and sums of gradients. */
  readonly kernels: number;
  /** Copies of values between the memories of tfjs and of the library. */
  readonly handOver: number;
}

/** Methods of a device that copy values, and the one that computes. */
const copies = ['write', 'writeRows', 'readRows', 'readInto', 'copyRows'];
const kernels = ['run', 'reduceNow', 'mergeBytes'];

/** The shares of one step on the device `cpu:0`. */
export async function sharesOf(way: Way): Promise<Shares> {
  const device = devices.get('cpu:0') as unknown as Record<string, (...args: unknown[]) => unknown>;
  const spent = new Map<string, number>();
  let isInside = false;
  for (const name of [...copies, ...kernels]) {
    const method = device[name];
    if (method === undefined) continue;
    device[name] = (...args) => {
      if (isInside) return method.apply(device, args);
      const start = performance.now();
      isInside = true;
      try {
        return method.apply(device, args);
      } finally {
        isInside = false;
        spent.set(name, (spent.get(name) ?? 0) + performance.now() - start);
      }
    };
  }
  try {
    const start = performance.now();
    await way.step();
    const whole = performance.now() - start;
    const part = (names: readonly string[]): number =>
      names.reduce((sum, name) => sum + (spent.get(name) ?? 0), 0) / whole;
    return { kernels: part(kernels), handOver: part(copies) };
  } finally {
    // The methods of the class are behind them.
    for (const name of [...copies, ...kernels]) Reflect.deleteProperty(device, name);
  }
}

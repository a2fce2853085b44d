/** The kernels of the calling thread, for what needs no memory of a device. */

import { cpuModule } from '../wasm/modules.ts';
import { CpuDevice } from './cpu_device.ts';
import type { Device } from './device.ts';

/** What {@link host} gives; nothing of a program is on it. */
let callingThread = new CpuDevice('the calling thread', cpuModule);

/**
 * The kernels of the calling thread, for what needs no memory of a device: checking partials, and merging those of devices of
 * different kinds. It has an instance of its own, which no trap of `cpu:0` concerns, and after a trap of its own another one.
 */
export function host(): CpuDevice {
  if (callingThread.lost !== null) {
    callingThread = callingThread.succeed();
  }
  return callingThread;
}

/** The kernels of the calling thread that serve a device: its own, where it is there. */
export function kernelsFor(device: Device): CpuDevice {
  return device instanceof CpuDevice ? device : host();
}

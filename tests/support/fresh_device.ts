import { init } from 'syncbn';
import type { DeviceKind } from '../../ts/device/device.ts';

/** Devices with lower numbers are for tests that do not measure memory. */
let next = 20;

/**
 * Name of a device, ready, that no test of this file has used. What earlier tests have left to the garbage collector is
 * not on it, so what it holds changes only by what a test does.
 */
export async function freshDevice(kind: DeviceKind): Promise<string> {
  const name = `${kind}:${next++}`;
  await init([name]);
  return name;
}

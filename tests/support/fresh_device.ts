import { devices, init } from 'syncbn';
import type { DeviceKind } from '../../ts/device/device.ts';

/** Devices with lower numbers are for tests that do not measure memory. */
const FIRST = 20;
/** As many as one test uses at once; one that was used is made anew, so that not all of a file's threads and GPU devices live. */
const AT_ONCE = 4;

const used: Record<DeviceKind, number> = { cpu: 0, worker: 0, webgpu: 0 };

/**
 * Name of a device, ready, that no test of this file has used. What earlier tests have left to the garbage collector is
 * not on it, so what it holds changes only by what a test does.
 */
export async function freshDevice(kind: DeviceKind): Promise<string> {
  const count = used[kind]++;
  const name = `${kind}:${FIRST + (kind === 'cpu' ? count : count % AT_ONCE)}`;
  if (count >= AT_ONCE && kind !== 'cpu') {
    devices.recreate(name);
  }
  await init([name]);
  return name;
}

/** Which devices a synchronous call may use: those whose commands need no answer, and for values those whose work is done at once. */

import { synchronously } from './awaited.ts';
import { CpuDevice } from './cpu_device.ts';
import type { Device } from './device.ts';
import { NotInitializedError } from '../errors.ts';

/**
 * The device, for a call that reads what it has computed.
 * @param where - the call, as errors name it: `dataSync()`.
 * @param instead - what to do on other devices.
 * @throws RangeError unless the device is one of the calling thread; NotInitializedError before it is ready; DeviceLostError
 */
export function readableAtOnce(device: Device, where: string, instead: string): CpuDevice {
  if (!(device instanceof CpuDevice)) {
    throw new RangeError(
      `${where}: expected a 'cpu' device, whose work is done when a call returns, got ${device.name}, which answers later; ${instead}`,
    );
  }
  checkReady(device);
  return device;
}

/**
 * The same for a call that gives commands and reads nothing: GPUs take those too.
 * @throws RangeError for a worker; NotInitializedError, DeviceLostError
 */
export function checkCommandable(device: Device, where: string, instead: string): void {
  if (device.kind === 'worker') {
    throw new RangeError(
      `${where}: expected a 'cpu' or 'webgpu' device, got ${device.name}, which works in another thread and answers later; ${instead}`,
    );
  }
  checkReady(device);
}

/**
 * Runs the commands of a synchronous call.
 * @throws as {@link checkCommandable}, and what `work` throws.
 */
export function computedAtOnce<T>(device: Device, where: string, instead: string, work: () => T | Promise<T>): T {
  checkCommandable(device, where, instead);
  return valueAtOnce(where, work);
}

/** The result of work that waits for nothing in a synchronous call. */
export function valueAtOnce<T>(where: string, work: () => T | Promise<T>): T {
  const result = synchronously(work);
  if (result instanceof Promise) {
    throw new Error(`${where}: expected nothing to wait for, got a promise, please report this`);
  }
  return result;
}

function checkReady(device: Device): void {
  if (device.lost !== null) {
    throw device.lost;
  }
  if (!device.isReady) {
    throw new NotInitializedError(device.name);
  }
}

/** Which backend of tfjs computes for a device. */

import { DeviceMismatchError, Tensor } from '../index.ts';
import { activeBackend } from './engine.ts';
import { type HandOver, hostHandOver } from './hand_over.ts';
import { webGpuBackendFor, webGpuHandOver } from './webgpu_hand_over.ts';

/** Name of the backend that computes for a device, ready: the active one for CPU devices and workers, one of its own for a GPU. */
export async function backendFor(device: string): Promise<string> {
  return isGpu(device) ? webGpuBackendFor(device) : activeBackend();
}

/** How tensors of a device get to a backend that {@link backendFor} gave. */
export function handOverOn(device: string, backend: string): HandOver {
  return isGpu(device) ? webGpuHandOver(device, backend) : hostHandOver(device, backend);
}

function isGpu(device: string): boolean {
  return device.startsWith('webgpu');
}

/**
 * How the inputs of a function get to tfjs.
 * @param where - names the function in errors.
 * @throws TypeError for what are no tensors, DeviceMismatchError for tensors of several devices.
 */
export async function handOverFor(where: string, inputs: readonly Tensor[]): Promise<HandOver> {
  const device = deviceOf(where, inputs);
  return handOverOn(device, await backendFor(device));
}

function deviceOf(where: string, inputs: readonly unknown[]): string {
  const names = inputs.map((input, i) => {
    if (!(input instanceof Tensor)) {
      throw new TypeError(`${where}: expected a tensor of syncbn as input ${i}, got ${typeof input}`);
    }
    return input.device;
  });
  const [first] = names;
  if (first === undefined) {
    throw new TypeError(`${where}: expected at least one tensor, on whose device it computes, got none`);
  }
  const other = names.find((name) => name !== first);
  if (other !== undefined) {
    throw new DeviceMismatchError(where, [first, other]);
  }
  return first;
}

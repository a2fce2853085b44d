/** Two tensors that meet in one operation. */

import { DeviceMismatchError } from '../errors.ts';
import type { Device } from './device.ts';

/**
 * @throws DeviceMismatchError unless the devices are the same. Where one of them is lost, its DeviceLostError: a device that was made
 * anew has the name of the lost one, and no `to()` would help.
 */
export function checkSameDevice(operation: string, first: Device, second: Device): void {
  if (first !== second) {
    throw first.lost ?? second.lost ?? new DeviceMismatchError(operation, [first.name, second.name]);
  }
}

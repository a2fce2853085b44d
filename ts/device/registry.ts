/** Which devices exist, by name. Devices are made on first use and live as long as the program. */

import { UnknownDeviceError } from '../errors.ts';
import { CpuDevice } from './cpu_device.ts';
import type { Device, DeviceKind, MemoryUsage } from './device.ts';

/** Devices in the calling thread share its one core, so more of them serve tests and debugging, not speed. */
const MAX_CPU_DEVICES = 64;

/** What {@link devices.describe} tells of a device. */
export interface DeviceDescription {
  readonly name: string;
  readonly kind: DeviceKind;
  /** The hardware or thread that does the work; devices with equal `adapter` share it. */
  readonly adapter: string;
  /** Whether a graphics API is emulated on the CPU. */
  readonly isSoftware: boolean;
  readonly memory: MemoryUsage;
}

const made = new Map<string, Device>();

/** `'cpu'` is short for `'cpu:0'`. */
export function canonicalDeviceName(name: string): string {
  return name === 'cpu' ? 'cpu:0' : name;
}

/**
 * The device of that name.
 * @throws UnknownDeviceError, naming those that exist.
 */
export function deviceByName(name: string): Device {
  if (typeof name !== 'string') {
    throw new TypeError(`expected a device name such as 'cpu:0', got ${String(name)}`);
  }
  const canonical = canonicalDeviceName(name);
  const known = made.get(canonical);
  if (known !== undefined) {
    return known;
  }
  const ordinal = /^cpu:(0|[1-9]\d*)$/.exec(canonical)?.[1];
  if (ordinal === undefined || Number(ordinal) >= MAX_CPU_DEVICES) {
    throw new UnknownDeviceError(name, ['cpu', 'cpu:0', 'cpu:1', '…', `cpu:${MAX_CPU_DEVICES - 1}`]);
  }
  const device = new CpuDevice(canonical);
  made.set(canonical, device);
  return device;
}

/** The devices of this program. */
export const devices = {
  /** Names of the devices made so far, `'cpu:0'` always among them. */
  list(): string[] {
    deviceByName('cpu:0');
    return [...made.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  },
  /**
   * The device of that name, made when it does not exist yet.
   * @throws UnknownDeviceError for a name that names no device.
   */
  get(name: string): Device {
    return deviceByName(name);
  },
  /** What exists, what it runs on and what it holds. */
  describe(): DeviceDescription[] {
    return devices.list().map((name) => {
      const device = deviceByName(name);
      return { name, kind: device.kind, adapter: 'calling thread', isSoftware: false, memory: device.memoryUsage() };
    });
  },
};

/**
 * Compiles the kernels and makes the named devices ready. Optional: the first operation does the same.
 * @param names - default `['cpu:0']`.
 * @throws TypeError for anything but an array of names, UnknownDeviceError
 */
export async function init(names: readonly string[] = ['cpu:0']): Promise<void> {
  if (typeof names !== 'object' || !(Symbol.iterator in names)) {
    throw new TypeError(`init(): expected an array of device names such as ['cpu:0'], got ${typeof names}`);
  }
  await Promise.all(names.map((name) => deviceByName(name).ready()));
}

/** Which devices exist, by name. Devices are made on first use; workers end when they are closed, or with the program. */

import { UnknownDeviceError } from '../errors.ts';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { CpuDevice } from './cpu_device.ts';
import type { Device, DeviceKind, MemoryUsage } from './device.ts';
import { WorkerDevice, type WorkerSettings } from './worker_device.ts';
import type { Traffic } from './worker_queue.ts';

/** Devices of the calling thread share its one core, and workers beyond the number of cores share those. */
const MAX_DEVICES = 64;

/** What {@link devices.describe} tells of a device. */
export interface DeviceDescription {
  readonly name: string;
  readonly kind: DeviceKind;
  /** The hardware or thread that does the work; devices with equal `adapter` share it. */
  readonly adapter: string;
  /** Whether a graphics API is emulated on the CPU. */
  readonly isSoftware: boolean;
  readonly memory: MemoryUsage;
  /** What has travelled to a device in another thread and back; `null` where nothing has to. */
  readonly traffic: Traffic | null;
}

/** What {@link devices.configure} takes. */
export interface DeviceOptions {
  /**
   * Address of `syncbn/worker`, which a page with a strict content security policy serves by itself; `null`, the default:
   * the program comes with the library. Holds for workers that are started later.
   */
  readonly workerUrl: string | null;
}

const callingThread = new CpuDevice('cpu:0', compileCpuModule);
const made = new Map<string, Device>([[callingThread.name, callingThread]]);
const settings: WorkerSettings = { workerUrl: null };

/** `'cpu'` is short for `'cpu:0'`. */
export function canonicalDeviceName(name: string): string {
  return name === 'cpu' || name === 'worker' ? `${name}:0` : name;
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
  const [, kind, ordinal] = /^(cpu|worker):(0|[1-9]\d*)$/.exec(canonical) ?? [];
  if (ordinal === undefined || Number(ordinal) >= MAX_DEVICES) {
    const last = MAX_DEVICES - 1;
    throw new UnknownDeviceError(name, [
      'cpu',
      'cpu:0',
      'cpu:1',
      '…',
      `cpu:${last}`,
      'worker:0',
      '…',
      `worker:${last}`,
    ]);
  }
  const device = kind === 'cpu' ? new CpuDevice(canonical, compileCpuModule) : newWorker(canonical);
  made.set(canonical, device);
  return device;
}

/** The devices of this program. */
export const devices = {
  /** Names of the devices made so far, always among them `'cpu:0'` and as many workers as there are cores. */
  list(): string[] {
    const workers = Array.from({ length: Math.min(coreCount(), MAX_DEVICES) }, (_, i) => `worker:${i}`);
    const names = new Set([...made.keys(), ...workers]);
    return [...names].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
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
      const adapter = device.kind === 'cpu' ? 'calling thread' : `thread of ${name}`;
      const traffic = isWorker(device) ? device.traffic : null;
      return { name, kind: device.kind, adapter, isSoftware: false, memory: device.memoryUsage(), traffic };
    });
  },
  /** Settings for devices that become ready later. */
  configure({ workerUrl }: DeviceOptions): void {
    settings.workerUrl = workerUrl;
  },
  /**
   * Ends workers: those named, or all. What they held is gone, and tensors there fail with `DeviceLostError`; the names may be
   * used again. Resolves when the threads have ended.
   * @throws UnknownDeviceError; RangeError for a device that is no worker.
   */
  async close(...names: readonly string[]): Promise<void> {
    const ending = names.length > 0 ? names.map(workerByName) : [...made.values()].filter(isWorker);
    ending.forEach(({ name }) => made.delete(name));
    await Promise.all(ending.map((worker) => worker.close()));
  },
  /**
   * A fresh worker under the name of one that was lost, or still lives: that one is closed. Its tensors stay dead.
   * @throws as {@link devices.close}
   */
  recreate(name: string): Device {
    const old = workerByName(name);
    void old.close();
    const device = newWorker(old.name);
    made.set(old.name, device);
    return device;
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

function newWorker(name: string): WorkerDevice {
  return new WorkerDevice(name, callingThread, settings);
}

function isWorker(device: Device): device is WorkerDevice {
  return device.kind === 'worker';
}

function workerByName(name: string): WorkerDevice {
  const device = deviceByName(name);
  if (!isWorker(device)) {
    throw new RangeError(`expected the name of a worker device such as 'worker:0', got ${device.name}`);
  }
  return device;
}

/** Node 20 has no `navigator`. */
function coreCount(): number {
  interface Platform {
    readonly navigator?: { readonly hardwareConcurrency?: number };
    readonly process?: { getBuiltinModule?(name: 'os'): { availableParallelism(): number } };
  }
  const { navigator, process } = globalThis as Platform;
  return navigator?.hardwareConcurrency ?? process?.getBuiltinModule?.('os').availableParallelism() ?? 1;
}

/** Which devices exist, by name. Devices are made on first use; they end when they are closed, or with the program. */

import { checkOptions } from '../check_options.ts';
import { NoAdapterError, NoWebGpuError, UnknownDeviceError } from '../errors.ts';
import { describeValue, quoteValue } from '../describe_value.ts';
import { cpuModule } from '../wasm/modules.ts';
import { coreCount } from './core_count.ts';
import { CpuDevice } from './cpu_device.ts';
import type { Device, DeviceDetails, DeviceKind, DeviceName, MemoryUsage, WebGpuDevice } from './device.ts';
import { suggestDevice } from './device_name.ts';
import { host, kernelsFor } from './host.ts';
import { LazyDevice } from './lazy_device.ts';
import { WebGpuFace } from './webgpu_face.ts';
import type { WebGpuOptions, WebGpuOrigin } from './webgpu_origin.ts';
import type { WorkerSettings } from './worker_device.ts';

/** Devices of the calling thread share its one core, and workers beyond the number of cores share those. */
const MAX_DEVICES = 64;

const kinds = ['cpu', 'worker', 'webgpu'] satisfies DeviceKind[];

/** What {@link devices.describe} tells of a device. */
export interface DeviceDescription extends DeviceDetails {
  readonly name: string;
  readonly kind: DeviceKind;
  readonly memory: MemoryUsage;
}

/** What {@link devices.configure} takes. */
export interface DeviceOptions {
  /**
   * Address of `syncbn/worker`, which a page with a strict content security policy serves by itself; `null`, the default:
   * the program comes with the library. Holds for workers that are started later.
   */
  readonly workerUrl: string | null;
}

const made = new Map<string, Device>([['cpu:0', new CpuDevice('cpu:0', cpuModule)]]);
const settings: WorkerSettings = { workerUrl: null };

/** `'cpu'` is short for `'cpu:0'`. */
export function canonicalDeviceName(name: string): string {
  return (kinds as readonly string[]).includes(name) ? `${name}:0` : name;
}

/**
 * The device of that name.
 * @throws UnknownDeviceError, naming those that exist.
 */
export function deviceByName(name: string): Device {
  if (typeof name !== 'string') {
    throw new TypeError(`expected a device name such as 'cpu:0', got ${quoteValue(name)}`);
  }
  const canonical = canonicalDeviceName(name);
  const known = made.get(canonical);
  if (known !== undefined) {
    return known;
  }
  const [, wanted, ordinal] = /^([a-z]+):(0|[1-9]\d?)$/.exec(canonical) ?? [];
  const kind = kinds.find((one) => one === wanted);
  if (kind === undefined || Number(ordinal) >= MAX_DEVICES) {
    const last = MAX_DEVICES - 1;
    const names = ['cpu', ...kinds.flatMap((one) => [`${one}:0`, `${one}:1`, '…', `${one}:${last}`])];
    throw new UnknownDeviceError(name, names, suggestDevice(name, MAX_DEVICES));
  }
  return make(canonical, kind);
}

/** Whether a device is on a `GPUDevice` that somebody else owns. */
export function isAdopted(device: Device): boolean {
  return device instanceof WebGpuFace && 'adopted' in device.origin;
}

/** @throws RangeError unless the device is a WebGPU device. */
export function webGpuDevice(device: Device): WebGpuDevice {
  if (device instanceof WebGpuFace) {
    return device;
  }
  throw new RangeError(`expected a WebGPU device such as 'webgpu:0', got ${device.name}`);
}

/**
 * Merges partials of one kind that cover adjacent ranges, in order of samples, of the devices that gave them. Devices of one kind
 * have a way of their own, by which several have the bits of one; others meet in the calling thread, in f64.
 */
export async function mergePartials(from: readonly Device[], partials: readonly Uint8Array[]): Promise<Uint8Array> {
  const [first = host()] = from;
  const device = from.every(({ kind }) => kind === first.kind) ? first : host();
  await device.ready();
  return device.merge(partials);
}

/** Made once, at the first use: that takes some milliseconds, half as long as loading the library, and ranks that wait ask for the devices often. */
let byNumber: Intl.Collator | null = null;

/** The devices of this program. */
export const devices = {
  /**
   * Names of the devices made so far, always among them `'cpu:0'`, as many workers as there are cores, and `'webgpu:0'` where the
   * platform has WebGPU.
   */
  list(): string[] {
    const workers = Array.from({ length: Math.min(coreCount(), MAX_DEVICES) }, (_, i) => `worker:${i}`);
    const names = new Set([...made.keys(), ...workers, ...(hasWebGpu() ? ['webgpu:0'] : [])]);
    byNumber ??= new Intl.Collator('en', { numeric: true });
    return [...names].sort(byNumber.compare);
  },
  /** The device of that name, made when it does not exist yet. @throws UnknownDeviceError for a name that names no device. */
  get,
  /** What exists, what it runs on and what it holds. */
  describe(): DeviceDescription[] {
    return devices.list().map((name) => {
      const device = deviceByName(name);
      return { name, kind: device.kind, ...device.details(), memory: device.memoryUsage() };
    });
  },
  /** Settings for devices that become ready later. */
  configure(options: DeviceOptions): void {
    checkOptions<DeviceOptions>('devices.configure()', options, { workerUrl: 'string' });
    // Called from JavaScript, there may be none.
    settings.workerUrl = checkWorkerUrl((options as DeviceOptions | undefined)?.workerUrl);
  },
  /**
   * A WebGPU device of its own adapter, ready, under the first name that is free.
   * @throws NoWebGpuError, NoAdapterError, DeviceLimitError; RangeError when no name is free.
   */
  async create(options: WebGpuOptions = {}): Promise<WebGpuDevice> {
    checkOptions<WebGpuOptions>('devices.create()', options, {
      powerPreference: 'string',
      forceFallbackAdapter: 'boolean',
      label: 'string',
      requiredLimits: 'object',
    });
    return opened({ options });
  },
  /**
   * A device on a `GPUDevice` that exists, ready: tensors there and buffers of its owner may share memory. Closing it gives back what
   * this library has taken, and leaves the `GPUDevice` to its owner.
   * @throws TypeError for what is no `GPUDevice`; NoWebGpuError, NoAdapterError
   */
  async adopt(gpuDevice: GPUDevice): Promise<WebGpuDevice> {
    checkGpuDevice(gpuDevice);
    return opened({ adopted: gpuDevice });
  },
  /** Name of the fastest device: `'webgpu:0'` where it is hardware, else `'cpu:0'`, which is faster than an emulated GPU. */
  async best(): Promise<string> {
    const [gpu, cpu] = ['webgpu:0', 'cpu:0'];
    const isNew = !made.has(gpu);
    const device = deviceByName(gpu);
    const isHardware = await device.ready().then(
      () => !device.details().isSoftware,
      (error: unknown) => {
        if (error instanceof NoWebGpuError || error instanceof NoAdapterError) {
          return false;
        }
        throw error;
      },
    );
    if (isNew && !isHardware) {
      await devices.close(gpu);
    }
    return isHardware ? gpu : cpu;
  },
  /**
   * Ends workers and WebGPU devices: those named, or all. What they held is gone, and tensors there fail with
   * `DeviceLostError`; the names may be used again. Resolves when they have ended.
   * @throws UnknownDeviceError; RangeError for a device of the calling thread.
   */
  async close(...names: readonly DeviceName[]): Promise<void> {
    const ending = names.length > 0 ? names.map(lazyByName) : [...made.values()].filter(isLazy);
    ending.forEach(({ name }) => made.delete(name));
    await Promise.all(ending.map((device) => device.close()));
  },
  /**
   * A fresh device under the name of one that was lost, or still lives: that one is closed. Its tensors stay dead.
   * @throws UnknownDeviceError; RangeError for an adopted device, which its owner must replace.
   */
  recreate(name: DeviceName): Device {
    const device = deviceByName(name);
    if (device instanceof CpuDevice) {
      const fresh = device.succeed();
      made.set(fresh.name, fresh);
      return fresh;
    }
    const old = lazyByName(name);
    const origin = old instanceof WebGpuFace ? old.origin : { options: {} };
    if ('adopted' in origin) {
      throw new RangeError(`device ${old.name} was adopted; adopt() a new GPUDevice instead`);
    }
    void old.close();
    return make(old.name, old.kind, origin);
  },
};

/**
 * Makes the named devices ready: loads and compiles what they need. Optional: the first operation does the same. Afterwards synchronous calls
 * work, such as {@link Tensor.dataSync} and `forwardSync` of batch norm layers.
 * @param names - default `['cpu:0']`.
 * @throws TypeError for anything but an array of names, UnknownDeviceError; WorkerStartError, NoWebGpuError, NoAdapterError
 */
export async function init(names: readonly DeviceName[] = ['cpu:0']): Promise<void> {
  if (typeof names !== 'object' || (names as unknown) === null || !(Symbol.iterator in names)) {
    throw new TypeError(`init(): expected an array of device names such as ['cpu:0'], got ${quoteValue(names)}`);
  }
  const wanted = Array.from(names, deviceByName);
  // Synchronous calls check partials in the calling thread, whatever device they are for.
  await Promise.all([...wanted, ...wanted.map(kernelsFor)].map((device) => device.ready()));
}

/**
 * The device of that name, made when it does not exist yet.
 * @throws UnknownDeviceError for a name that names no device.
 */
function get(name: 'webgpu' | `webgpu:${number}`): WebGpuDevice;
function get(name: DeviceName): Device;
function get(name: string): Device {
  return deviceByName(name);
}

/** Asked by what it has: several implementations of WebGPU, and frames, have classes of their own. */
function checkGpuDevice(device: unknown): void {
  const { createBuffer, queue, limits, features } = Object(device) as Readonly<Record<string, unknown>>;
  if (typeof createBuffer !== 'function' || [queue, limits, features].some((part) => typeof part !== 'object')) {
    throw new TypeError(
      `devices.adopt(): expected a GPUDevice, as await adapter.requestDevice() gives it, got ${quoteValue(device)}`,
    );
  }
}

function checkWorkerUrl(url: unknown): string | null {
  if (url !== null && typeof url !== 'string') {
    throw new TypeError(
      `devices.configure(): expected workerUrl to be an address such as '/syncbn_worker.js', or null, got ${describeValue(url)}`,
    );
  }
  return url;
}

function make(name: string, kind: DeviceKind, origin: WebGpuOrigin = { options: {} }): Device {
  const device = newDevice(name, kind, origin);
  made.set(name, device);
  return device;
}

function newDevice(name: string, kind: DeviceKind, origin: WebGpuOrigin): Device {
  switch (kind) {
    case 'cpu':
      return new CpuDevice(name, cpuModule);
    case 'worker': {
      const adapter = `thread of ${name}`;
      const before = { adapter, isSoftware: false, traffic: { messages: 0, bytes: 0 }, work: null };
      return new LazyDevice(name, kind, before, async (face) => {
        const { openWorkerDevice } = await import('./worker_device.ts');
        return openWorkerDevice(face, settings);
      });
    }
    case 'webgpu':
      return new WebGpuFace(name, origin);
  }
}

/** A WebGPU device under a free name, ready. One that cannot be opened leaves none. */
async function opened(origin: WebGpuOrigin): Promise<WebGpuDevice> {
  const number = Array.from({ length: MAX_DEVICES }, (_, i) => i).find((i) => !made.has(`webgpu:${i}`));
  if (number === undefined) {
    throw new RangeError(`expected at most ${MAX_DEVICES} WebGPU devices; close() those no longer needed`);
  }
  const device = new WebGpuFace(`webgpu:${number}`, origin);
  made.set(device.name, device);
  try {
    await device.ready();
  } catch (error) {
    made.delete(device.name);
    throw error;
  }
  return device;
}

function isLazy(device: Device): device is LazyDevice {
  return device instanceof LazyDevice;
}

function lazyByName(name: string): LazyDevice {
  const device = deviceByName(name);
  if (!isLazy(device)) {
    throw new RangeError(
      `expected the name of a worker or WebGPU device such as 'worker:0', got ${device.name}, which is the calling thread`,
    );
  }
  return device;
}

function hasWebGpu(): boolean {
  const { navigator } = globalThis as { readonly navigator?: { readonly gpu?: unknown } };
  return navigator?.gpu !== undefined;
}

/** WebGPU devices as the program sees them; what does the work is loaded when the first of them is made ready. */

import type { BatchLayout, DeviceBuffer, WebGpuDevice } from './device.ts';
import { LazyDevice, type OpenDevice } from './lazy_device.ts';

/** What is asked of the platform for a device of our own. */
export interface WebGpuOptions {
  /** Which adapter, where there are several; default: the platform's choice. */
  readonly powerPreference?: 'low-power' | 'high-performance';
  /** Whether a software adapter is wanted. Default `false`: whatever there is. */
  readonly forceFallbackAdapter?: boolean;
  /** Name of the device in tools of the platform; default: the device's own. */
  readonly label?: string;
  /** The least that the adapter must grant, by names of `GPUSupportedLimits`. The device has all that the adapter grants anyway. */
  readonly requiredLimits?: Readonly<Record<string, number>>;
}

/** Where a device comes from: asked of the platform, or somebody else's. */
export type WebGpuOrigin = { readonly options: WebGpuOptions } | { readonly adopted: GPUDevice };

/** What only a WebGPU device does. */
export interface OpenWebGpu extends OpenDevice {
  readonly gpuDevice: GPUDevice;
  gpuBuffer(buffer: DeviceBuffer): GPUBuffer;
  adoptBuffer(buffer: GPUBuffer, length: number): Promise<DeviceBuffer>;
  warmUp(layout: Omit<BatchLayout, 'samples'>): Promise<void>;
}

/** `webgpu:0`, `webgpu:1`, … */
export class WebGpuFace extends LazyDevice<OpenWebGpu> implements WebGpuDevice {
  declare readonly kind: 'webgpu';
  readonly origin: WebGpuOrigin;

  constructor(name: string, origin: WebGpuOrigin) {
    const before = { adapter: 'not known before init()', isSoftware: false, traffic: null, work: null };
    super(name, 'webgpu', before, async (face) => {
      const { openWebGpuDevice } = await import('./webgpu_device.ts');
      return openWebGpuDevice(face, origin);
    });
    this.origin = origin;
  }

  get gpuDevice(): GPUDevice {
    return this.opened.gpuDevice;
  }

  gpuBuffer(buffer: DeviceBuffer): GPUBuffer {
    return this.opened.gpuBuffer(buffer);
  }

  async adoptBuffer(buffer: GPUBuffer, length: number): Promise<DeviceBuffer> {
    return this.opened.adoptBuffer(buffer, length);
  }

  async warmUp(layout: Omit<BatchLayout, 'samples'>): Promise<void> {
    await this.opened.warmUp(layout);
  }
}

/** Where a WebGPU device comes from, and what it does beside what all devices do. */

import type { BatchLayout, DeviceBuffer } from './device.ts';
import type { OpenDevice } from './lazy_device.ts';

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
  adoptBuffer(buffer: GPUBuffer, length: number, onRelease?: () => void): Promise<DeviceBuffer>;
  adoptBufferNow(buffer: GPUBuffer, length: number, onRelease?: () => void): DeviceBuffer;
  warmUp(layout: Omit<BatchLayout, 'samples'>): Promise<void>;
}

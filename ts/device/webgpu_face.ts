/** WebGPU devices as the program sees them; what does the work is loaded when the first of them is made ready. */

import type { BatchLayout, DeviceBuffer, WebGpuDevice } from './device.ts';
import { LazyDevice } from './lazy_device.ts';
import type { OpenWebGpu, WebGpuOrigin } from './webgpu_origin.ts';

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

  async adoptBuffer(buffer: GPUBuffer, length: number, onRelease?: () => void): Promise<DeviceBuffer> {
    return this.opened.adoptBuffer(buffer, length, onRelease);
  }

  adoptBufferNow(buffer: GPUBuffer, length: number, onRelease?: () => void): DeviceBuffer {
    return this.opened.adoptBufferNow(buffer, length, onRelease);
  }

  async warmUp(layout: Omit<BatchLayout, 'samples'>): Promise<void> {
    await this.opened.warmUp(layout);
  }
}

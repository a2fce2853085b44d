/** A device of the fastest adapter, with all that it grants. */

// Not reached through the library's face: benchmarks wait for other engines the same way.
import { Nudging } from '../../ts/device/webgpu_nudging.ts';
import { isNode } from '../../ts/platform_modules.ts';

/** Bits of `GPUBufferUsage` and `GPUMapMode`, by the standard: TypeScript's library does not declare them. */
export const USAGE = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, STORAGE: 0x80 } as const;
export const MAP_MODE_READ = 0x1;

export interface OpenDevice {
  readonly device: GPUDevice;
  readonly info: GPUAdapterInfo;
  /** Resolves when all that was submitted is done. @throws Error where WebGPU has refused something: refused work takes no time. */
  readonly finished: () => Promise<void>;
}

/** @throws Error where there is no adapter. */
export async function requestDevice(): Promise<OpenDevice> {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) throw new Error('WebGPU has no adapter here');
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize, maxComputeWorkgroupSizeX } =
    adapter.limits;
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupsPerDimension } = adapter.limits;
  const requiredLimits = {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize,
    maxComputeWorkgroupSizeX,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupsPerDimension,
  };
  const device = await adapter.requestDevice({ requiredLimits });
  return { device, info: adapter.info, finished: finisherOf(() => device) };
}

/**
 * See {@link OpenDevice.finished}.
 * @param deviceNow - the device, asked for each time: one of ours submits what it holds then.
 */
export function finisherOf(deviceNow: () => GPUDevice): () => Promise<void> {
  const refusals: string[] = [];
  const device = deviceNow();
  device.addEventListener('uncapturederror', ({ error }) => {
    refusals.push(error.message);
  });
  const nudging = isNode() ? null : new Nudging(device.queue);
  return async () => {
    const done = deviceNow().queue.onSubmittedWorkDone();
    await (nudging?.hasten(done) ?? done);
    const [refusal] = refusals.splice(0);
    if (refusal !== undefined) throw new Error(`WebGPU has refused work: ${refusal}`);
  };
}

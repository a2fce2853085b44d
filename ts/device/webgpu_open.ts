/** How a WebGPU device comes to be: the platform is looked up, the kernels are loaded, an adapter is asked. */

import { DeviceLimitError, NoWebGpuError } from '../errors.ts';
import { type GpuBindings, type GpuKernels, loadGpuKernels } from '../wasm/gpu_kernels.ts';
import type { WebGpuOptions, WebGpuOrigin } from './webgpu_origin.ts';
import type { WebGpuFailures } from './webgpu_failures.ts';
import { providePlatform } from './webgpu_platform.ts';

/** @throws TypeError or RangeError for options that mean nothing; NoWebGpuError, NoAdapterError, DeviceLimitError */
export async function openKernels(
  name: string,
  origin: WebGpuOrigin,
  failures: WebGpuFailures,
): Promise<{ readonly kernels: GpuKernels; readonly bindings: GpuBindings }> {
  if ('options' in origin) {
    checkOptions(origin.options);
  }
  const [bindings] = await Promise.all([
    loadGpuKernels(),
    providePlatform().catch((cause: unknown) => {
      throw new NoWebGpuError(name, { cause });
    }),
  ]);
  try {
    if ('adopted' in origin) {
      return { kernels: await bindings.adopt(origin.adopted), bindings };
    }
    const { label = name, powerPreference = '', forceFallbackAdapter = false } = origin.options;
    const kernels = await bindings.request(label, powerPreference, forceFallbackAdapter, 0);
    checkLimits(name, kernels, origin.options);
    return { kernels, bindings };
  } catch (error) {
    throw failures.translate(error, 'ready');
  }
}

function checkOptions({ label, powerPreference, forceFallbackAdapter, requiredLimits = {} }: WebGpuOptions): void {
  checkType('label', label, 'string');
  checkType('forceFallbackAdapter', forceFallbackAdapter, 'boolean');
  if (powerPreference !== undefined && !['low-power', 'high-performance'].includes(powerPreference)) {
    throw new RangeError(`powerPreference: expected 'low-power' or 'high-performance', got ${powerPreference}`);
  }
  for (const [limit, wanted] of Object.entries(requiredLimits)) {
    checkType(`requiredLimits.${limit}`, wanted, 'number');
  }
}

function checkType(option: string, value: unknown, type: 'string' | 'boolean' | 'number'): void {
  if (value !== undefined && typeof value !== type) {
    throw new TypeError(`${option}: expected a ${type}, got ${typeof value}`);
  }
}

/** The device has been given all that the adapter grants. */
function checkLimits(name: string, kernels: GpuKernels, { requiredLimits = {} }: WebGpuOptions): void {
  const limits = kernels.gpuDevice.limits as unknown as Readonly<Record<string, number | undefined>>;
  for (const [limit, wanted] of Object.entries(requiredLimits)) {
    const granted = limits[limit] ?? 0;
    // Of a minimum less is more.
    const isMinimum = limit.startsWith('min');
    if (isMinimum ? granted > wanted : granted < wanted) {
      kernels.destroy();
      throw new DeviceLimitError(name, limit, wanted, granted);
    }
  }
}

/**
 * Counts what a framework asks of WebGPU by wrapping the platform's own classes, alike for every framework. Made before the
 * framework is loaded, since bind groups are seen when they are made.
 */

import type { GpuCounts } from '../engine.ts';

/** Where the classes of WebGPU are. */
export interface GpuClasses {
  readonly GPUDevice: GpuClass;
  readonly GPUQueue: GpuClass;
  readonly GPUBuffer: GpuClass;
  readonly GPUComputePassEncoder: GpuClass;
}

interface GpuClass {
  readonly prototype: object;
}

type Method = (this: object, ...parameters: unknown[]) => unknown;

/** `GPUBufferUsage.STORAGE`, from the specification. */
const STORAGE = 0x80;

export class WorkCounter {
  readonly #counts = { dispatches: 0, submits: 0, bytesBound: 0, buffers: 0, pipelines: 0, maps: 0 };
  /** Bytes of the storage bindings of each bind group. */
  readonly #groupBytes = new WeakMap<object, number>();
  /** The same of those a pass has set, by index. */
  readonly #bound = new WeakMap<object, Map<unknown, number>>();

  constructor({ GPUDevice, GPUQueue, GPUBuffer, GPUComputePassEncoder }: GpuClasses) {
    const counts = this.#counts;
    observe(GPUDevice, 'createBuffer', () => (counts.buffers += 1));
    observe(GPUDevice, 'createComputePipeline', () => (counts.pipelines += 1));
    observe(GPUDevice, 'createComputePipelineAsync', () => (counts.pipelines += 1));
    observe(GPUDevice, 'createBindGroup', (_device, [descriptor], group) => {
      this.#groupBytes.set(group as object, storageBytes(descriptor as GPUBindGroupDescriptor));
    });
    // Empty ones do no work: they make a browser look whether the GPU is done.
    observe(GPUQueue, 'submit', (_queue, [commands]) => (counts.submits += (commands as unknown[]).length > 0 ? 1 : 0));
    observe(GPUBuffer, 'mapAsync', () => (counts.maps += 1));
    observe(GPUComputePassEncoder, 'setBindGroup', (pass, [index, group]) => {
      const bound = this.#bound.get(pass) ?? new Map<unknown, number>();
      bound.set(index, this.#groupBytes.get(group as object) ?? 0);
      this.#bound.set(pass, bound);
    });
    const dispatched = (pass: object) => {
      counts.dispatches++;
      for (const bytes of this.#bound.get(pass)?.values() ?? []) counts.bytesBound += bytes;
    };
    observe(GPUComputePassEncoder, 'dispatchWorkgroups', dispatched);
    observe(GPUComputePassEncoder, 'dispatchWorkgroupsIndirect', dispatched);
  }

  /** Since the counter was made. */
  get total(): GpuCounts {
    return { ...this.#counts };
  }
}

/** What has been counted between two totals. */
export function difference(after: GpuCounts, before: GpuCounts): GpuCounts {
  return {
    dispatches: after.dispatches - before.dispatches,
    submits: after.submits - before.submits,
    bytesBound: after.bytesBound - before.bytesBound,
    buffers: after.buffers - before.buffers,
    pipelines: after.pipelines - before.pipelines,
    maps: after.maps - before.maps,
    ...(after.bytesMoved !== undefined && { bytesMoved: after.bytesMoved - (before.bytesMoved ?? 0) }),
  };
}

/** Has every call of a method seen, after it has returned. */
function observe(
  target: GpuClass,
  name: string,
  see: (self: object, parameters: readonly unknown[], result: unknown) => unknown,
): void {
  const prototype = target.prototype as Record<string, Method | undefined>;
  const original = prototype[name];
  if (original === undefined) throw new Error(`WebGPU has no ${name} here`);
  prototype[name] = function (this: object, ...parameters: unknown[]): unknown {
    const result = original.apply(this, parameters);
    see(this, parameters, result);
    return result;
  };
}

function storageBytes({ entries }: GPUBindGroupDescriptor): number {
  let sum = 0;
  for (const { resource } of entries) {
    const binding: GPUBufferBinding | null =
      'buffer' in resource ? resource : isBuffer(resource) ? { buffer: resource } : null;
    if (binding === null || (binding.buffer.usage & STORAGE) === 0) continue;
    const { buffer, offset = 0, size = buffer.size - offset } = binding;
    sum += size;
  }
  return sum;
}

function isBuffer(resource: GPUBindingResource): resource is GPUBuffer {
  return 'mapAsync' in resource;
}

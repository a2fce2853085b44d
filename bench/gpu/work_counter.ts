/**
 * Counts what a framework asks of WebGPU by wrapping the platform's own classes, alike for every framework. Made before the
 * framework is loaded, since bind groups are seen when they are made.
 */

import type { Counts, Engine } from '../engine.ts';

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

/** What commands of WebGPU came to, as the platform sees them. */
export interface GpuCounts extends Readonly<Record<string, number>> {
  readonly dispatches: number;
  readonly submits: number;
  /** Sizes of the storage bindings of all dispatches: the most that kernels which touch each value once can have moved. */
  readonly bytesBound: number;
  /** Buffers and pipelines made, and reads back. */
  readonly buffers: number;
  readonly pipelines: number;
  readonly maps: number;
}

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

/**
 * Counts one step of a variant: all layers forward, then all backward, as they are timed. In the steady state, once they have been
 * timed. The library itself says how many bytes its kernels have read and written; other frameworks do not.
 */
export async function countStep(engine: Engine, variant: string, counter: Pick<WorkCounter, 'total'>): Promise<Counts> {
  const layers = engine.layers(variant);
  const reversed = [...layers].reverse();
  const total = () => ({
    ...counter.total,
    ...(engine.bytesMoved !== undefined && { bytesMoved: engine.bytesMoved() }),
  });
  for (const layer of layers) await layer.refresh?.();
  const start = total();
  for (const layer of layers) await layer.forward();
  await engine.finish?.();
  const middle = total();
  for (const layer of reversed) await (layer.backward ?? layer.step)?.call(layer);
  await engine.finish?.();
  return { forward: difference(middle, start), backward: difference(total(), middle) };
}

/** What has been counted between two totals. */
export function difference(after: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>) {
  return Object.fromEntries(Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]));
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

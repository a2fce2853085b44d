/**
 * Counts what a framework asks of WebGPU by wrapping the platform's own classes, alike for every framework. Made before the
 * framework is loaded, which may keep a method for itself.
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

/** What commands of WebGPU came to, as the platform sees them. */
export interface GpuCounts extends Readonly<Record<string, number>> {
  readonly dispatches: number;
  readonly submits: number;
  /** Buffers and pipelines made, and reads back. */
  readonly buffers: number;
  readonly pipelines: number;
  readonly maps: number;
}

export class WorkCounter {
  readonly #counts = { dispatches: 0, submits: 0, buffers: 0, pipelines: 0, maps: 0 };

  constructor({ GPUDevice, GPUQueue, GPUBuffer, GPUComputePassEncoder }: GpuClasses) {
    const counts = this.#counts;
    observe(GPUDevice, 'createBuffer', () => (counts.buffers += 1));
    observe(GPUDevice, 'createComputePipeline', () => (counts.pipelines += 1));
    observe(GPUDevice, 'createComputePipelineAsync', () => (counts.pipelines += 1));
    // Empty ones do no work: they make a browser look whether the GPU is done.
    observe(GPUQueue, 'submit', ([commands]) => (counts.submits += (commands as unknown[]).length > 0 ? 1 : 0));
    observe(GPUBuffer, 'mapAsync', () => (counts.maps += 1));
    observe(GPUComputePassEncoder, 'dispatchWorkgroups', () => (counts.dispatches += 1));
    observe(GPUComputePassEncoder, 'dispatchWorkgroupsIndirect', () => (counts.dispatches += 1));
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

/** Has every call of a method seen. */
function observe(target: GpuClass, name: string, see: (parameters: readonly unknown[]) => unknown): void {
  const prototype = target.prototype as Record<string, Method | undefined>;
  const original = prototype[name];
  if (original === undefined) throw new Error(`WebGPU has no ${name} here`);
  prototype[name] = function (this: object, ...parameters: unknown[]): unknown {
    see(parameters);
    return original.apply(this, parameters);
  };
}

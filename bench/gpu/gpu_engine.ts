/** An engine of `npm run bench:gpu` by its name, in a Node process or in a page. Each process and page opens one. */

import type { Engine, EngineModule } from '../engine.ts';
import { countStep, WorkCounter } from './work_counter.ts';

/** Engines that come with packages of `bench/package.json`. */
const peers = ['jax_js', 'tfjs'];

/** Imported when asked for, so that a process holds one framework and no other. */
export async function openGpuEngine(name: string): Promise<Engine> {
  const counter = new WorkCounter(globalThis);
  const module = (await (peers.includes(name)
    ? import(`../peers/webgpu/${name}.ts`)
    : import(`../engines/webgpu/${name}.ts`))) as EngineModule;
  const engine = await module.open();
  return { ...engine, count: (variant) => countStep(engine, variant, counter) };
}

/** The adapter that frameworks get when they ask for the fastest one. */
export interface AdapterDescription {
  readonly name: string;
  /** Whether it computes on the CPU. */
  readonly isSoftware: boolean;
}

/** @returns `null` where there is none. */
export async function describeAdapter(gpu: GPU | undefined): Promise<AdapterDescription | null> {
  const adapter = (await gpu?.requestAdapter({ powerPreference: 'high-performance' })) ?? null;
  return adapter === null ? null : describe(adapter.info);
}

/** What the platform tells of it; a page may tell less than Node. */
export function describe({ vendor, architecture, device, description }: GPUAdapterInfo): AdapterDescription {
  const name =
    description || [vendor, architecture, device].filter((part) => part !== '').join(' ') || 'unnamed adapter';
  return { name, isSoftware: /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${name} ${architecture}`) };
}

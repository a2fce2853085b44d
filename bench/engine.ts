/**
 * What an engine offers to the benchmark: a framework, or the roofline, that lives in a process of its own because
 * frameworks claim globals, memory and garbage collection for themselves. `engines/pytorch.py` is the same in Python.
 */

import type { LayerShape } from './workloads.ts';

/** One layer's input and parameters, in logical (N, C, …) order. */
export interface Batch extends LayerShape {
  readonly x: Float32Array;
  readonly dy: Float32Array;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/** What a training step computes, in logical order; gradients are absent where the engine has no backward. */
export interface LayerResults {
  readonly y: ArrayLike<number>;
  readonly dx?: ArrayLike<number>;
  readonly dweight?: ArrayLike<number>;
  readonly dbias?: ArrayLike<number>;
}

/**
 * One layer with its tensors resident. Every method may be called again and again; results are dropped at once, as a
 * training loop drops them. What only prepares a measurement belongs in `refresh`.
 */
export interface LayerRun {
  /** Brings back what the last steps have written over. Not timed. */
  refresh?(): void | Promise<void>;
  /** Training forward, keeping what `backward` needs. */
  forward(): void | Promise<void>;
  /** Gradients of input, weight and bias, of the last forward. */
  backward?(): void | Promise<void>;
  /** Forward and backward, where the framework's gradient function runs both and `forward` cannot keep anything. */
  step?(): void | Promise<void>;
  /** One step whose results are read. */
  results(): Promise<LayerResults>;
}

export interface Engine {
  /** Name and version. */
  readonly version: string;
  /** Places the layers' tensors; what was loaded before is gone. */
  load(batches: readonly Batch[]): Promise<void>;
  /** The loaded layers, set up for one of the engine's variants. */
  layers(variant: string): readonly LayerRun[];
  /** What a step of a variant sends between threads, where it does. */
  traffic?(variant: string): Promise<StepTraffic>;
  /** Resolves when all that the layers have been told is done, where they only give commands. */
  finish?(): Promise<void>;
  /** What the engine says that its kernels have read and written since it was opened. */
  bytesMoved?(): number;
  /** What a step of a variant asks of the GPU, where there is one. */
  work?(variant: string): Promise<StepWork>;
  unload(): void | Promise<void>;
}

/** What commands of WebGPU came to, as the platform sees them. */
export interface GpuCounts {
  readonly dispatches: number;
  readonly submits: number;
  /** Sizes of the storage bindings of all dispatches: the most that kernels which touch each value once can have moved. */
  readonly bytesBound: number;
  /** Buffers and pipelines made, and reads back. */
  readonly buffers: number;
  readonly pipelines: number;
  readonly maps: number;
  /** What the library itself says that its kernels have read and written; absent from others. */
  readonly bytesMoved?: number;
}

/** In the steady state. Of a framework that cannot split a step, backward is the whole step without a forward. */
export interface StepWork {
  readonly forward: GpuCounts;
  readonly backward: GpuCounts;
}

/** Both ways together. */
export interface StepTraffic {
  readonly messages: number;
  readonly bytes: number;
}

/** Seconds of one step of all layers. */
export interface Timing {
  readonly forward?: number;
  readonly backward?: number;
  readonly step?: number;
}

/** What is measured of a step. */
export type Pass = keyof Timing;

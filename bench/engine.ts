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
  /**
   * Places the layers' tensors; what was loaded before is gone.
   * @param chainLength - how many layers follow each other on the one batch that is given; 1 where each batch has its layer.
   */
  load(batches: readonly Batch[], chainLength: number): void | Promise<void>;
  /** The loaded layers, set up for one of the engine's variants. */
  layers(variant: string): readonly LayerRun[];
  /** Resolves when all that the layers have been told is done, where they only give commands. */
  finish?(): Promise<void>;
  /** What a step of a variant asks of threads, or of the GPU, in the steady state. */
  count?(variant: string): Promise<Counts>;
  /** What the engine says that its kernels have read and written since it was opened. */
  bytesMoved?(): number;
  unload(): void | Promise<void>;
}

/** A file in `engines/` or `peers/`. */
export interface EngineModule {
  open(): Promise<Engine>;
}

/** Amounts by name. Those of a GPU are told for each pass; of a framework that cannot split a step, backward is the whole step. */
export interface Counts {
  readonly forward?: Readonly<Record<string, number>>;
  readonly backward?: Readonly<Record<string, number>>;
  readonly step?: Readonly<Record<string, number>>;
}

/** Seconds of one step of all layers. */
export type Timing = Partial<Readonly<Record<'forward' | 'backward' | 'step', number>>>;

/** What is measured of a step. */
export type Pass = keyof Timing;

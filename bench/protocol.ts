/** What parent and engine processes say to each other: one line of JSON asks, one line answers, in turn. */

import type { StepTraffic, StepWork, Timing } from './engine.ts';
import type { LayerShape } from './workloads.ts';

/** A batch as JSON carries it. */
export interface PlainBatch extends LayerShape {
  readonly x: readonly number[];
  readonly dy: readonly number[];
  readonly weight: readonly number[];
  readonly bias: readonly number[];
}

export interface PlainResults {
  readonly y: readonly number[];
  readonly dx?: readonly number[];
  readonly dweight?: readonly number[];
  readonly dbias?: readonly number[];
}

export type Request =
  /** Place these layers, filled with random values, weight 1 and bias 0. */
  | { readonly command: 'load'; readonly layers: readonly LayerShape[] }
  /** Drop everything, run one step on this batch, and tell what came out. */
  | { readonly command: 'check'; readonly variant: string; readonly batch: PlainBatch }
  /** Time so many steps of all layers. */
  | { readonly command: 'time'; readonly variant: string; readonly calls: number }
  /** Count what one step sends between threads. */
  | { readonly command: 'traffic'; readonly variant: string }
  /** Count what one step asks of a GPU. */
  | { readonly command: 'work'; readonly variant: string }
  | { readonly command: 'unload' };

/** What each command is answered with. An engine greets with its version before it is asked anything. */
export interface Answers {
  readonly load: null;
  readonly check: PlainResults;
  /** Means over the calls. */
  readonly time: Timing;
  /** `null` from an engine of one thread. */
  readonly traffic: StepTraffic | null;
  /** `null` from an engine without a GPU. */
  readonly work: StepWork | null;
  readonly unload: null;
}

export type Reply = { readonly ok: unknown } | { readonly error: string };

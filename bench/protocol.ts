/** What parent and engine processes say to each other: one line of JSON asks, one line answers, in turn. */

import type { Counts, Timing } from './engine.ts';
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

/** Each request with its answer. An engine greets with its version before it is asked anything. */
interface Exchanges {
  /** Place these layers, filled with random values, weight 1 and bias 0. */
  readonly load: { request: { readonly layers: readonly LayerShape[]; readonly chainLength: number }; answer: null };
  /** Drop everything, run two steps on this batch, and tell what came out of the second. */
  readonly check: { request: { readonly variant: string; readonly batch: PlainBatch }; answer: PlainResults };
  /** Time so many steps of all layers: means over the calls. */
  readonly time: { request: { readonly variant: string; readonly calls: number }; answer: Timing };
  /** Count what one step asks of threads or of a GPU: `null` from an engine that has neither. */
  readonly count: { request: { readonly variant: string }; answer: Counts | null };
  readonly unload: { request: object; answer: null };
}

export type CommandName = keyof Exchanges;
export type RequestOf<C extends CommandName> = { readonly command: C } & Exchanges[C]['request'];
export type Request = { [C in CommandName]: RequestOf<C> }[CommandName];
export type AnswerTo<C extends CommandName> = Exchanges[C]['answer'];

export type Reply = { readonly ok: unknown } | { readonly error: string };

/** An engine that answers, wherever it runs. */
export interface RunningEngine {
  /** What the engine calls itself. */
  readonly version: string;
  /** Asks, and awaits the answer. One request at a time. */
  ask<C extends CommandName>(request: RequestOf<C>): Promise<AnswerTo<C>>;
  /** Ends it. */
  stop(): void;
}

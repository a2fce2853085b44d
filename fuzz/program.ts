/**
 * Programs of the fuzzer: data alone, so that one can be printed, replayed and shortened.
 *
 * A number that names a device, a stage or a graph is taken modulo how many there are, so that a program stays meaningful when
 * parts of it are removed.
 */

import type { MemoryFormat, Numerics } from 'syncbn';

/** Dimensions of the batches, N and C among them. */
export type Rank = 2 | 3 | 4 | 5;

/** Options of a batch norm layer. */
export interface NormOptions {
  readonly eps: number;
  readonly momentum: number | null;
  readonly affine: boolean;
  readonly bias: boolean;
  readonly trackRunningStats: boolean;
  readonly numerics: Numerics;
}

/** A module that keeps the shape of its input. */
export type ModuleSpec =
  | ({ readonly kind: 'norm' } & NormOptions)
  | { readonly kind: 'sequence'; readonly children: readonly ModuleSpec[] }
  /** x + child(x). */
  | { readonly kind: 'residual'; readonly child: ModuleSpec }
  /** left(x) + right(x), one after the other or at once. */
  | { readonly kind: 'branches'; readonly left: ModuleSpec; readonly right: ModuleSpec; readonly atOnce: boolean }
  /** child(child(x)): a layer that is called twice in one forward. */
  | { readonly kind: 'twice'; readonly child: ModuleSpec }
  /** factor · x, an operation of the user. */
  | { readonly kind: 'scale'; readonly factor: number };

/** How the model is spread over its devices. */
export type Wrapper = 'callback' | 'patched' | 'converted' | 'plain';

/** What the values of a batch look like. */
export type Values = 'normal' | 'offset' | 'constant' | 'uniform' | 'mixed' | 'huge' | 'tiny' | 'infinite' | 'nan';

/** A batch, but for the channels, which are the program's. */
export interface BatchSpec {
  readonly samples: number;
  /** Sizes of the dimensions after C; those that are missing are 1, those in excess are ignored. */
  readonly rest: readonly number[];
  readonly format: MemoryFormat;
  readonly values: Values;
  readonly seed: number;
}

/** What goes wrong in a replica during a forward pass. */
export type ForwardFault =
  /** The replica throws before stage `at`, or after the last. */
  | { readonly how: 'throw' | 'throwText'; readonly replica: number; readonly at: number }
  /** From there on its device grants only so many bytes more. */
  | { readonly how: 'starve'; readonly replica: number; readonly at: number; readonly bytes: number }
  /** Allocation number `count` on its device fails. */
  | { readonly how: 'allocation'; readonly replica: number; readonly count: number }
  /** Its device ends. */
  | { readonly how: 'end'; readonly replica: number; readonly at: number }
  /** It leaves out the last stage, or calls it twice. */
  | { readonly how: 'skip' | 'twice'; readonly replica: number }
  /** It waits until the forward has been answered, while another throws, or time runs out. */
  | { readonly how: 'late' | 'timeOut'; readonly replica: number; readonly at: number }
  /** It waits until the end of the program, while another throws. */
  | { readonly how: 'never'; readonly replica: number; readonly at: number }
  /** It comes when the others have gone on alone, as layers with `onTimeout: 'local'` do. */
  | { readonly how: 'goAlone'; readonly replica: number }
  /** It is so many turns of the event loop late. */
  | { readonly how: 'slow'; readonly replica: number; readonly at: number; readonly turns: number };

/** What goes wrong during a backward pass. */
export type BackwardFault =
  /** An operation of the user throws in replica `replica`; only where the forward had a `probe`. */
  | { readonly how: 'throw'; readonly replica: number }
  | { readonly how: 'allocation'; readonly replica: number; readonly count: number }
  | { readonly how: 'starve'; readonly replica: number; readonly bytes: number }
  | { readonly how: 'end'; readonly replica: number };

/** A forward pass, whose graph then waits for its backward. */
export interface ForwardStep {
  readonly kind: 'forward';
  readonly batch: BatchSpec;
  readonly training: boolean;
  /** `plain`, without recording, or with its backward inside one asynchronous scope. */
  readonly mode: 'plain' | 'noGrad' | 'scope';
  readonly requiresGrad: boolean;
  readonly donate: boolean;
  /** Number of the device that the input is made on. */
  readonly from: number;
  /** Sizes that each replica cuts the last dimension down to, by turns; none: it stays as it is. */
  readonly lengths: readonly number[];
  /** Whether an operation of the user stands at the end of each replica. */
  readonly probe: boolean;
  readonly fault: ForwardFault | null;
}

/** A single layer on one device, from its construction on, against the same computed in f64. */
export interface LayerStep {
  readonly kind: 'layer';
  readonly device: number;
  readonly channels: number;
  readonly batch: BatchSpec;
  readonly options: NormOptions;
  readonly donate: boolean;
}

/** The steps of `functional`, on any cut of a batch, against the layer on one device. */
export interface FunctionalStep {
  readonly kind: 'functional';
  readonly batch: BatchSpec;
  readonly channels: number;
  /** Number of samples of the first shard, the second, and so on, each taken modulo what is left; the last has the rest. */
  readonly cuts: readonly number[];
  /** Numbers of the devices of the shards, by turns. */
  readonly places: readonly number[];
  readonly numerics: Numerics;
  /** Partials before this number are merged first, then the others, then both. */
  readonly mergedFirst: number;
  /** Byte to flip in a partial, in addition; none where it is negative. */
  readonly damage: number;
}

/** A model of its own that several ranks train, each with its part of every batch. */
export interface RanksStep {
  readonly kind: 'ranks';
  readonly model: readonly ModuleSpec[];
  /** One for each step of the training. */
  readonly batches: readonly BatchSpec[];
  /** As of {@link FunctionalStep}: one less than there are ranks. */
  readonly cuts: readonly number[];
  /** How they exchange. */
  readonly way: 'local' | 'shared memory' | 'messages';
  /** The rank that fails in the middle, and in which step; none. */
  readonly fault: { readonly rank: number; readonly step: number } | null;
}

export type Step =
  | ForwardStep
  | {
      readonly kind: 'backward';
      readonly graph: number;
      readonly seed: number;
      readonly format: MemoryFormat;
      readonly donate: boolean;
      readonly fault: BackwardFault | null;
    }
  | { readonly kind: 'dispose'; readonly graph: number }
  | {
      readonly kind:
        | 'update'
        | 'copy'
        | 'load'
        | 'zeroGrad'
        | 'gradNull'
        | 'gradSet'
        | 'save'
        | 'restore'
        | 'reset'
        | 'freeze'
        | 'convert'
        | 'revert';
      readonly seed: number;
    }
  | { readonly kind: 'move'; readonly device: number }
  | { readonly kind: 'end' | 'recreate'; readonly device: number }
  | { readonly kind: 'refuse'; readonly which: number; readonly device: number }
  /** The same pass twice: the second time no device holds more than the first. */
  | { readonly kind: 'steady'; readonly pass: ForwardStep }
  | { readonly kind: 'concurrent'; readonly models: readonly ModuleSpec[]; readonly batches: readonly BatchSpec[] }
  | {
      readonly kind: 'adopt';
      readonly batch: BatchSpec;
      readonly device: number;
      readonly extra: number;
      /** Whether the owner destroys the buffer before it is used. */
      readonly isDestroyed: boolean;
    }
  /** Gradients set and computed inside a scope, which may be asynchronous, within another. */
  | {
      readonly kind: 'scopes';
      readonly device: number;
      readonly isAsync: boolean;
      readonly depth: number;
      readonly seed: number;
    }
  /** A layer with `epsMode: 'clamp'` on all devices, against the same on the first two and against f64. */
  | { readonly kind: 'clamp'; readonly batch: BatchSpec; readonly eps: number; readonly affine: boolean }
  | LayerStep
  | FunctionalStep
  | RanksStep;

/** One program: a model on devices, and what happens to it. */
export interface Program {
  /** Names of devices, in order of replicas. */
  readonly devices: readonly string[];
  /** Number of the device that outputs are gathered on. */
  readonly output: number;
  /** The dimension that batches are cut along: 0, or one after C, counted from the end where it is negative. */
  readonly dim: number;
  readonly rank: Rank;
  readonly channels: number;
  readonly wrapper: Wrapper;
  /** The stages of the model. */
  readonly model: readonly ModuleSpec[];
  readonly steps: readonly Step[];
}

/** The step of a kind. */
export type StepOf<K extends Step['kind'], S = Step> = S extends { readonly kind: infer Own }
  ? K extends Own
    ? S
    : never
  : never;

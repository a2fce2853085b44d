/**
 * Gradients of a model on several ranks: those of neighbouring parameters travel together, in buckets, and each bucket as soon as the backward
 * pass has computed the last gradient in it. Source: `torch/csrc/distributed/c10d/reducer.cpp`.
 */

import {
  type GradientHook,
  type GradientPass,
  type HookedGradient,
  type Parameter,
  tensor,
  type Tensor,
} from '../index.ts';
import type { ProcessGroup } from './process_group.ts';

/** What becomes of the gradients of all ranks: their mean, as in PyTorch, or their sum. */
export type Reduction = 'mean' | 'sum';

/** What a parameter's `grad` holds. */
type GradState = 'local' | 'reduced';

export interface ReducerOptions {
  readonly group: ProcessGroup;
  readonly reduction: Reduction;
  readonly firstBucketBytes: number;
  /** Of all others. */
  readonly bucketBytes: number;
  /** Whether what was reduced is written over the gradients of the pass, instead of into memory of its own. */
  readonly reusesGradients: boolean;
  /** In the order of the model. */
  readonly parameters: readonly (readonly [name: string, parameter: Parameter])[];
}

export class GradientReducer implements GradientHook {
  /** Whether gradients are exchanged; in `noSync()` they are not. */
  isSynchronizing = true;
  /** Parameters whose gradients are those of all ranks already, with the number of ranks that have counted them. */
  global: ReadonlyMap<Parameter, number> = new Map();
  /** Names of the parameters that no rank has used in the last pass. */
  unused: readonly string[] = [];
  readonly #options: ReducerOptions;
  readonly #states = new WeakMap<Tensor, GradState>();
  readonly #memory = new BucketMemory();

  constructor(options: ReducerOptions) {
    this.#options = options;
  }

  begin(reached: ReadonlySet<Tensor>): GradientPass {
    const pass = new ReducerPass(
      this.#options,
      this.#states,
      this.#memory,
      this.global,
      this.isSynchronizing,
      (unused) => {
        this.unused = unused;
      },
    );
    if (this.isSynchronizing) {
      // In the order in which gradients come: the last layers first.
      pass.plan(reached);
    }
    return pass;
  }
}

/**
 * The arrays that gradients travel in, used again by later passes: new ones in every step would keep the garbage collector busy, whose own threads take
 * cores that other ranks need.
 */
class BucketMemory {
  readonly #free = new Map<number, Float32Array[]>();

  take(length: number): Float32Array {
    return this.#free.get(length)?.pop() ?? new Float32Array(length);
  }

  /** Nobody needs the values any more. */
  give(values: Float32Array): void {
    const free = this.#free.get(values.length) ?? [];
    free.push(values);
    this.#free.set(values.length, free);
  }
}

/** Gradients that travel together. */
interface Bucket {
  readonly parameters: readonly Parameter[];
  readonly length: number;
  missing: number;
  reduced: Promise<Float32Array> | null;
}

/** What has come for a parameter. */
interface Contribution {
  readonly gradient: Tensor | null;
  /** What earlier passes have left that were not exchanged. */
  readonly local: Tensor | null;
}

class ReducerPass implements GradientPass {
  readonly #options: ReducerOptions;
  readonly #states: WeakMap<Tensor, GradState>;
  readonly #memory: BucketMemory;
  readonly #global: ReadonlyMap<Parameter, number>;
  readonly #isSynchronizing: boolean;
  readonly #tellUnused: (names: readonly string[]) => void;
  readonly #contributions = new Map<Tensor, Contribution>();
  readonly #buckets: Bucket[] = [];
  readonly #bucketOf = new Map<Tensor, Bucket>();
  #failure: Error | null = null;

  constructor(
    options: ReducerOptions,
    states: WeakMap<Tensor, GradState>,
    memory: BucketMemory,
    global: ReadonlyMap<Parameter, number>,
    isSynchronizing: boolean,
    tellUnused: (names: readonly string[]) => void,
  ) {
    this.#options = options;
    this.#states = states;
    this.#memory = memory;
    this.#global = global;
    this.#isSynchronizing = isSynchronizing;
    this.#tellUnused = tellUnused;
  }

  /** Fills the buckets, and counts those parameters as done that no gradient can come for. */
  plan(reached: ReadonlySet<Tensor>): void {
    const { parameters, firstBucketBytes, bucketBytes, group } = this.#options;
    const exchanged = parameters
      .map(([, parameter]) => parameter)
      .filter((parameter) => parameter.requiresGrad && this.#global.get(parameter) !== group.size)
      .reverse();
    let open: Parameter[] = [];
    let length = 0;
    const close = (): void => {
      const bucket: Bucket = { parameters: open, length, missing: open.length, reduced: null };
      this.#buckets.push(bucket);
      open.forEach((parameter) => this.#bucketOf.set(parameter, bucket));
      open = [];
      length = 0;
    };
    for (const parameter of exchanged) {
      const size = sizeOf(parameter);
      const most = this.#buckets.length === 0 ? firstBucketBytes : bucketBytes;
      if (open.length > 0 && 4 * (length + size) > most) {
        close();
      }
      open.push(parameter);
      length += size;
    }
    if (open.length > 0) {
      close();
    }
    for (const parameter of exchanged) {
      if (!reached.has(parameter)) {
        this.ready(parameter, null, parameter.grad);
      }
    }
  }

  ready(leaf: Tensor, gradient: Tensor | null, grad: Tensor | null): void {
    const state = grad === null ? undefined : this.#states.get(leaf);
    if (!this.#isSynchronizing && state === 'reduced') {
      this.#failure = new Error(
        `noSync(): expected gradients that were not exchanged yet, but the grad of ${this.#nameOf(leaf)} has those of all ranks; call zeroGrad() before`,
      );
    }
    const local = state === 'reduced' ? null : grad;
    this.#contributions.set(leaf, { gradient, local });
    const bucket = this.#bucketOf.get(leaf);
    if (bucket !== undefined) {
      bucket.missing -= 1;
      if (bucket.missing === 0) {
        bucket.reduced = this.#reduce(bucket, this.#buckets.indexOf(bucket));
        // The end of the pass hears of it.
        bucket.reduced.catch(() => undefined);
      }
    }
  }

  async finish(): Promise<ReadonlyMap<Tensor, HookedGradient>> {
    if (this.#failure !== null) {
      throw this.#failure;
    }
    const changes = new Map<Tensor, HookedGradient>();
    await this.#finishGlobal(changes);
    if (!this.#isSynchronizing) {
      this.#contributions.forEach((_, leaf) => this.#states.set(leaf, 'local'));
      return changes;
    }
    const used = await this.#usedAnywhere();
    for (const { reduced, parameters } of this.#buckets) {
      const values = await reduced;
      if (values === null) {
        continue;
      }
      let at = 0;
      for (const parameter of parameters) {
        const end = at + sizeOf(parameter);
        if (used.has(parameter)) {
          const { gradient: own = null, local = null } = this.#contributions.get(parameter) ?? {};
          const { shape, device } = parameter;
          const part = values.subarray(at, end);
          const gradient =
            own !== null && this.#options.reusesGradients ? await own.copy_(part) : tensor(part, shape, { device });
          changes.set(parameter, { gradient, replacesGrad: local !== null });
        }
        at = end;
      }
      this.#memory.give(values);
    }
    const exchanged = this.#buckets.flatMap(({ parameters }) => parameters);
    exchanged.forEach((parameter) => this.#states.set(parameter, 'reduced'));
    this.#tellUnused(exchanged.filter((parameter) => !used.has(parameter)).map((parameter) => this.#nameOf(parameter)));
    return changes;
  }

  fail(reason: unknown): void {
    this.#options.group.abort(reason);
  }

  /** Those gradients of synchronized layers that all ranks have alike; a mean is the sum divided by the number of ranks. */
  async #finishGlobal(changes: Map<Tensor, HookedGradient>): Promise<void> {
    const { group, reduction } = this.#options;
    for (const [parameter, ranks] of this.#global) {
      const gradient = this.#contributions.get(parameter)?.gradient ?? null;
      if (reduction === 'mean' && gradient !== null && ranks === group.size) {
        const { shape, device } = parameter;
        const mean = (await gradient.data()).map((value) => value / ranks);
        changes.set(parameter, { gradient: tensor(mean, shape, { device }), replacesGrad: false });
      }
    }
  }

  async #reduce({ parameters, length }: Bucket, index: number): Promise<Float32Array> {
    const values = this.#memory.take(length);
    let at = 0;
    for (const parameter of parameters) {
      const { gradient = null, local = null } = this.#contributions.get(parameter) ?? {};
      const part = values.subarray(at, at + sizeOf(parameter));
      if (gradient === null) {
        part.fill(0);
      } else {
        await gradient.data(part);
      }
      if (local !== null) {
        const before = await local.data();
        part.forEach((value, i) => (part[i] = (before[i] ?? 0) + value));
      }
      const ranks = this.#global.get(parameter) ?? 1;
      if (ranks > 1) {
        part.forEach((value, i) => (part[i] = value / ranks));
      }
      at += part.length;
    }
    const { group, reduction } = this.#options;
    return group.allReduce(values, { op: reduction, tag: `DistributedDataParallel, gradients ${index}` });
  }

  /** The parameters that some rank has a gradient of. */
  async #usedAnywhere(): Promise<ReadonlySet<Parameter>> {
    const exchanged = this.#buckets.flatMap(({ parameters }) => parameters);
    const own = Uint8Array.from(exchanged, (parameter) => {
      const { gradient = null, local = null } = this.#contributions.get(parameter) ?? {};
      return gradient === null && local === null ? 0 : 1;
    });
    const all = await this.#options.group.allGather(own, 'DistributedDataParallel, used parameters');
    return new Set(exchanged.filter((_, i) => all.some((flags) => flags[i] === 1)));
  }

  #nameOf(leaf: Tensor): string {
    return this.#options.parameters.find(([, parameter]) => parameter === leaf)?.[0] ?? '';
  }
}

function sizeOf({ shape }: Tensor): number {
  return shape.reduce((product, length) => product * length, 1);
}

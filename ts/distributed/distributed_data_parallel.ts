/** Data parallelism over ranks; PyTorch's `DistributedDataParallel`. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import {
  CollectiveMismatchError,
  Module,
  type Parameter,
  registerGradientHook,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
  Tensor,
} from '../index.ts';
import { GradientReducer, type Reduction } from './gradient_reducer.ts';
import { ProcessGroup } from './process_group.ts';

export interface DistributedDataParallelOptions {
  /** The ranks, each with a model of its own, and the same one. */
  readonly processGroup: ProcessGroup;
  /**
   * Gradients travel in buckets of so many MiB at most, or of one parameter. Default 25, but 1 for the first bucket, that of the last layers, so
   * that something travels early. Source: `torch/nn/parallel/distributed.py`.
   */
  readonly bucketCapMb?: number;
  /**
   * `'mean'` (default): gradients are divided by the number of ranks, as in PyTorch. `'sum'`: they are added up, for losses that are sums over
   * samples or divided by the size of the whole batch; the bits are those of one process then, where each layer's are.
   */
  readonly reduction?: Reduction;
  /** Whether buffers of layers that are not synchronized are those of rank 0 in each forward in training. Default `true`. */
  readonly broadcastBuffers?: boolean;
  /**
   * Whether gradients that all ranks have added up take the memory of those that the pass has computed, which saves memory of the size of the
   * gradients, as in PyTorch. A function of your own must then not keep what its backward has returned. Default `false`.
   */
  readonly gradientAsBucketView?: boolean;
}

const dataParallelOptions: KnownOptions<DistributedDataParallelOptions> = {
  processGroup: 'object',
  bucketCapMb: 'number',
  reduction: 'string',
  broadcastBuffers: 'boolean',
  gradientAsBucketView: 'boolean',
};

const reductions: readonly string[] = ['mean', 'sum'] satisfies Reduction[];

/**
 * Trains one model on several ranks, each with its own part of the batch; `torch.nn.parallel.DistributedDataParallel`.
 *
 * Parameters and buffers become those of rank 0 before the first forward. Each `backward()` resolves when the gradients are those of all ranks,
 * which travel while the pass still runs. So every rank calls forward and backward equally often; {@link DistributedDataParallel.join} helps where
 * the numbers of batches differ. A parameter that no rank has used keeps its `grad`, and `unusedParameters` names it.
 *
 * Gradients of `SynchronizedBatchNorm*` with the same group are those of the whole batch without it, and are not added up again.
 *
 * A failed forward or backward fails the group, and state and gradients are as they were before.
 *
 * @example
 * ```ts
 * const net = convertModel(makeNetwork(), { processGroup: group });
 * const model = new DistributedDataParallel(net, { processGroup: group });
 * const loss = await lossOf(await model.forward(shard));
 * await loss.backward();
 * ```
 */
export class DistributedDataParallel<M extends Module = Module> extends Module {
  static readonly typeName: string = 'DistributedDataParallel';
  readonly module: M;
  readonly processGroup: ProcessGroup;
  readonly #reducer: GradientReducer;
  readonly #broadcastBuffers: boolean;
  readonly #unregister: () => void;
  #start: Promise<void> | null = null;

  /** @throws TypeError or RangeError for what is no module, no group or no option, or a parameter that another wrapper has. */
  constructor(module: M, options: DistributedDataParallelOptions) {
    super();
    const where = 'new DistributedDataParallel()';
    if (!(module instanceof Module)) {
      throw new TypeError(`${where}: expected a module, got ${describeValue(module)}`);
    }
    checkOptions(where, options, dataParallelOptions);
    const {
      processGroup,
      bucketCapMb = 25,
      reduction = 'mean',
      broadcastBuffers = true,
      gradientAsBucketView = false,
    } = options;
    if (!(processGroup instanceof ProcessGroup)) {
      throw new TypeError(
        `${where}: expected processGroup to be a ProcessGroup, got ${describeValue(processGroup)}; initProcessGroup() and spawn() make some`,
      );
    }
    if (typeof bucketCapMb !== 'number' || !(bucketCapMb > 0)) {
      throw new RangeError(`${where}: expected bucketCapMb of more than 0 MiB, got ${describeValue(bucketCapMb)}`);
    }
    if (!reductions.includes(reduction)) {
      throw new RangeError(`${where}: expected reduction to be 'mean' or 'sum', got ${describeValue(reduction)}`);
    }
    this.module = module;
    this.processGroup = processGroup;
    this.#broadcastBuffers = broadcastBuffers;
    const parameters = [...module.namedParameters()];
    this.#reducer = new GradientReducer({
      group: processGroup,
      reduction,
      firstBucketBytes: (options.bucketCapMb ?? 1) * 2 ** 20,
      bucketBytes: bucketCapMb * 2 ** 20,
      reusesGradients: gradientAsBucketView,
      parameters,
    });
    this.#unregister = registerGradientHook(
      parameters.map(([, parameter]) => parameter),
      this.#reducer,
    );
  }

  /** Names of the parameters that no rank has used in the last backward pass; their `grad` is what it was. */
  get unusedParameters(): readonly string[] {
    return this.#reducer.unused;
  }

  /**
   * Makes parameters and buffers those of rank 0, on all ranks; the first forward does it, where this was not called before.
   * @throws CollectiveMismatchError when the ranks have different models.
   */
  ready(): Promise<void> {
    this.#start ??= this.#synchronizeState();
    return this.#start;
  }

  /** Runs the module. @throws what it throws; CollectiveMismatchError when the ranks have different models. */
  async forward(...inputs: Parameters<M['forward']>): Promise<Awaited<ReturnType<M['forward']>>> {
    await this.ready();
    try {
      if (this.training && this.#broadcastBuffers) {
        await this.#sendBuffers();
      }
      if (this.training) {
        this.#reducer.global = this.#globalParameters();
      }
      return (await this.module.forward(...(inputs as never[]))) as Awaited<ReturnType<M['forward']>>;
    } catch (error) {
      this.processGroup.abort(error);
      throw error;
    }
  }

  /**
   * Backward passes in `work` leave their gradients on this rank, where they add up until the next pass outside, which exchanges them all.
   * Statistics of synchronized layers are exchanged nevertheless.
   *
   * @returns what `work` returns.
   */
  async noSync<T>(work: () => T | Promise<T>): Promise<T> {
    this.#reducer.isSynchronizing = false;
    try {
      return await work();
    } finally {
      this.#reducer.isSynchronizing = true;
    }
  }

  /**
   * Goes through batches whose number differs between the ranks: a rank that has no more gets empty ones until all have none. Each takes one
   * small exchange.
   *
   * @param batches - of this rank.
   * @param empty - makes a batch of no samples, which the model must take, and whose loss must be a sum.
   *
   * @example
   * ```ts
   * for await (const batch of model.join(batches, () => emptyBatch)) await step(batch);
   * ```
   */
  async *join<B>(batches: Iterable<B> | AsyncIterable<B>, empty: () => B): AsyncGenerator<B, void> {
    const iterator = Symbol.asyncIterator in batches ? batches[Symbol.asyncIterator]() : batches[Symbol.iterator]();
    let hasEnded = false;
    try {
      for (;;) {
        const next: IteratorResult<B> | null = hasEnded ? null : await iterator.next();
        hasEnded = next === null || next.done === true;
        const flags = await this.processGroup.allGather(
          Uint8Array.of(hasEnded ? 0 : 1),
          'DistributedDataParallel, join',
        );
        if (flags.every(([flag]) => flag === 0)) {
          return;
        }
        yield next === null || next.done === true ? empty() : next.value;
      }
    } finally {
      if (!hasEnded) {
        await iterator.return?.();
      }
    }
  }

  /** Gives the parameters free for another wrapper; gradients are this rank's from then on. */
  release(): void {
    this.#unregister();
  }

  /** The layers that give all ranks the gradients of the whole batch, with the number of ranks. */
  #globalParameters(): ReadonlyMap<Parameter, number> {
    const found = new Map<Parameter, number>();
    for (const layer of this.#synchronizedLayers()) {
      const size = layer.processGroup?.size ?? 1;
      if (layer.training && size > 1) {
        [layer.weight, layer.bias].forEach((parameter) => parameter !== null && found.set(parameter, size));
      }
    }
    return found;
  }

  #synchronizedLayers(): (SynchronizedBatchNorm1d | SynchronizedBatchNorm2d | SynchronizedBatchNorm3d)[] {
    return [...this.module.modules()].filter(
      (module) =>
        module instanceof SynchronizedBatchNorm1d ||
        module instanceof SynchronizedBatchNorm2d ||
        module instanceof SynchronizedBatchNorm3d,
    );
  }

  async #synchronizeState(): Promise<void> {
    const { processGroup: group } = this;
    const entries = Object.entries(this.module.stateDict());
    try {
      const [model] = await this.#compareModels(entries);
      const tensors = entries.flatMap(([name, value]): [string, Tensor][] =>
        value instanceof Tensor ? [[name, value]] : [],
      );
      const values = await broadcastAll(
        group,
        tensors.map(([, value]) => value),
        'DistributedDataParallel, state',
      );
      if (group.rank > 0) {
        const numbers = model?.flatMap(({ name, number }): [string, number][] =>
          number === null ? [] : [[name, number]],
        );
        const arrays = tensors.map(([name], i): [string, Float32Array] => [name, values[i] ?? new Float32Array()]);
        await this.module.loadStateDict(Object.fromEntries<number | Float32Array>([...arrays, ...(numbers ?? [])]));
      }
    } catch (error) {
      group.abort(error);
      throw error;
    } finally {
      entries.forEach(([, value]) => value instanceof Tensor && value.dispose());
    }
  }

  /** @returns what the models of all ranks consist of. @throws CollectiveMismatchError unless that is the same. */
  async #compareModels(entries: readonly (readonly [string, Tensor | number])[]): Promise<ModelEntry[][]> {
    const tag = 'DistributedDataParallel, model';
    const own = entries.map(([name, value]): ModelEntry =>
      value instanceof Tensor ? { name, shape: value.shape, number: null } : { name, shape: null, number: value },
    );
    const gathered = await this.processGroup.allGather(new TextEncoder().encode(JSON.stringify(own)), tag);
    const models = gathered.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as ModelEntry[]);
    for (const [rank, theirs] of models.entries()) {
      for (let i = 0; i < Math.max(own.length, theirs.length); i += 1) {
        const [mine, other] = [show(own[i]), show(theirs[i])];
        if (mine !== other) {
          throw new CollectiveMismatchError(rank, tag, mine, other);
        }
      }
    }
    return models;
  }

  /** Gives all ranks those buffers of rank 0 that they do not compute alike. */
  async #sendBuffers(): Promise<void> {
    const computed = new Set<Tensor>();
    for (const layer of this.#synchronizedLayers()) {
      if (layer.processGroup === this.processGroup) {
        [...layer.buffers()].forEach((buffer) => computed.add(buffer));
      }
    }
    const sent = [...this.module.buffers()].filter((buffer) => !computed.has(buffer));
    if (sent.length === 0) {
      return;
    }
    const values = await broadcastAll(this.processGroup, sent, 'DistributedDataParallel, buffers');
    if (this.processGroup.rank > 0) {
      for (const [i, buffer] of sent.entries()) {
        await buffer.copy_(values[i] ?? new Float32Array());
      }
    }
  }
}

/** A value of a state dict. */
interface ModelEntry {
  readonly name: string;
  /** `null` for a number. */
  readonly shape: readonly number[] | null;
  readonly number: number | null;
}

function show(entry: ModelEntry | undefined): string {
  const { name, shape } = entry ?? { name: 'no more parameters and buffers', shape: null };
  return shape === null ? name : `${name} of shape [${shape.join(', ')}]`;
}

/** Sends the values of several tensors at once. @returns those of rank 0, one array for each. */
async function broadcastAll(group: ProcessGroup, tensors: readonly Tensor[], tag: string): Promise<Float32Array[]> {
  const values = await Promise.all(tensors.map((each) => each.data()));
  const joined = new Float32Array(values.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of values) {
    joined.set(part, end);
    end += part.length;
  }
  await group.broadcast(joined, 0, { tag });
  end = 0;
  return values.map(({ length }) => joined.slice(end, (end += length)));
}

/**
 * This library on several workers: a network of batch norm layers in one `DataParallel`, its inputs resident.
 * Variants: `synchronized:W` and `unsynchronized:W`, W workers, of which both have the same, with the same tensors.
 */

import {
  BatchNorm2d,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  init,
  SynchronizedBatchNorm2d,
  tensor,
  type Tensor,
} from 'syncbn';
import type { Batch, Engine, LayerResults, LayerRun, StepTraffic } from '../engine.ts';
import { packageVersion } from '../repository.ts';
import {
  differentiate,
  dropResults,
  joined,
  networkFor,
  shardBatch,
  type ShardedBatch,
  type ShardedNetwork,
  ShardedStep,
} from './sharded_network.ts';

export async function openSyncbnWorkers(): Promise<Engine> {
  await init();
  let batches: readonly Batch[] = [];
  const groups = new Map<string, WorkerGroup>();
  const runOf = (variant: string): WorkersRun => {
    const [kind, count = ''] = variant.split(':');
    const group = groups.get(count) ?? new WorkerGroup(Number(count), batches);
    groups.set(count, group);
    return new WorkersRun(group, kind === 'synchronized');
  };
  const unload = async () => {
    groups.clear();
    batches = [];
    // A worker gives back the memory it has reserved when it ends.
    await devices.close();
  };
  return {
    version: `syncbn ${packageVersion()}, workers`,
    async load(given) {
      await unload();
      batches = given;
    },
    layers: (variant) => [runOf(variant)],
    traffic: (variant) => runOf(variant).traffic(),
    unload,
  };
}

type Network = DataParallel<ShardedNetwork>;

interface Residents {
  readonly batches: readonly ShardedBatch[];
  readonly synchronized: Network;
  readonly unsynchronized: Network;
  /** One value per worker; once it has been read, all that the worker was told before is done. */
  readonly marks: readonly Tensor[];
}

/** Workers of their own, and what lies there. */
class WorkerGroup {
  readonly names: readonly string[];
  readonly #batches: readonly Batch[];
  #placing: Promise<Residents> | null = null;

  /** @param count - a power of two, so that the names from `worker:(count − 1)` on are no other group's. */
  constructor(count: number, batches: readonly Batch[]) {
    this.names = Array.from({ length: count }, (_, i) => `worker:${count - 1 + i}`);
    this.#batches = batches;
  }

  /** Placed when first needed: a workload's contenders need not all fit into memory. */
  residents(): Promise<Residents> {
    this.#placing ??= this.#place();
    return this.#placing;
  }

  async #place(): Promise<Residents> {
    const [first = ''] = this.names;
    await init(this.names);
    const options = { deviceIds: this.names };
    return {
      batches: this.#batches.map((batch) => shardBatch(batch, this.names)),
      synchronized: new DataParallelWithCallBack(
        await networkFor(this.#batches, SynchronizedBatchNorm2d, first),
        options,
      ),
      unsynchronized: new DataParallel(await networkFor(this.#batches, BatchNorm2d, first), options),
      marks: this.names.map((device) => tensor([0], [1], { device })),
    };
  }
}

/** All layers count as one here: one forward and one backward pass run them. */
class WorkersRun implements LayerRun {
  readonly #group: WorkerGroup;
  readonly #isSynchronized: boolean;
  #ys: readonly Tensor[] = [];

  constructor(group: WorkerGroup, isSynchronized: boolean) {
    this.#group = group;
    this.#isSynchronized = isSynchronized;
  }

  async refresh(): Promise<void> {
    await this.#group.residents();
  }

  async forward(): Promise<void> {
    const { batches } = await this.#group.residents();
    const step = new ShardedStep(this.#group.names, batches);
    await (await this.#network()).forward(step);
    this.#ys = step.ys;
  }

  /** Ends when the workers have done all of the step. */
  async backward(): Promise<void> {
    const { batches } = await this.#group.residents();
    await differentiate(this.#ys, batches);
    await this.#drop();
  }

  async results(): Promise<LayerResults> {
    const { batches } = await this.#group.residents();
    const { module } = await this.#network();
    const [weight, bias] = [...module.parameters()];
    await this.forward();
    const y = await joined(this.#ys);
    await differentiate(this.#ys, batches);
    const results = {
      y,
      dx: await joined(batches.flatMap(({ xs }) => xs.map((x) => x.grad))),
      dweight: await joined([weight?.grad ?? null]),
      dbias: await joined([bias?.grad ?? null]),
    };
    await this.#drop();
    return results;
  }

  /** What one step sends and receives. */
  async traffic(): Promise<StepTraffic> {
    await this.refresh();
    const before = trafficOf(this.#group.names);
    await this.forward();
    await this.backward();
    const after = trafficOf(this.#group.names);
    return { messages: after.messages - before.messages, bytes: after.bytes - before.bytes };
  }

  async #network(): Promise<Network> {
    const { synchronized, unsynchronized } = await this.#group.residents();
    return this.#isSynchronized ? synchronized : unsynchronized;
  }

  async #drop(): Promise<void> {
    const { batches, marks } = await this.#group.residents();
    dropResults(await this.#network(), this.#ys, batches);
    this.#ys = [];
    await Promise.all(marks.map((mark) => mark.data()));
  }
}

/** Messages and bytes that have travelled to these workers and back since they were started. */
function trafficOf(names: readonly string[]): StepTraffic {
  const sum = { messages: 0, bytes: 0 };
  for (const { name, traffic } of devices.describe()) {
    if (!names.includes(name)) continue;
    sum.messages += traffic?.messages ?? 0;
    sum.bytes += traffic?.bytes ?? 0;
  }
  return sum;
}

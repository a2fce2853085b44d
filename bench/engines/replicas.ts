/** This library on CPU devices or workers, in one `DataParallel`. Variants: `synchronized@` or `apart@` and the devices' names. */

import { devices, init, tensor, type Tensor } from 'syncbn';
import library from '../../package.json' with { type: 'json' };
import type { Batch, Counts, Engine, LayerRun } from '../engine.ts';
import { type NetworkKind, ShardedNetwork } from './sharded_network.ts';

export async function open(): Promise<Engine> {
  await init();
  let loaded: { readonly batches: readonly Batch[]; readonly chainLength: number } = { batches: [], chainLength: 1 };
  let groups = new Map<string, Group>();
  const groupOf = (names: string): Group => {
    const group = groups.get(names) ?? new Group(names.split(','), loaded.batches, loaded.chainLength);
    groups.set(names, group);
    return group;
  };
  const runOf = (variant: string): LayerRun => {
    const [kind = '', names = ''] = variant.split('@');
    return groupOf(names).run(kind as NetworkKind);
  };
  const unload = async () => {
    for (const group of groups.values()) await group.dispose();
    groups = new Map();
    // A worker gives back the memory it has reserved when it ends.
    await devices.close();
  };
  return {
    version: `syncbn ${library.version}, DataParallel`,
    async load(batches, chainLength) {
      await unload();
      loaded = { batches, chainLength };
    },
    layers: (variant) => [runOf(variant)],
    count: (variant) => countOf(variant.slice(variant.indexOf('@') + 1).split(','), runOf(variant)),
    unload,
  };
}

interface Placed {
  readonly network: ShardedNetwork;
  /** One value per device; once it has been read, all that the device was told before is done. */
  readonly marks: readonly Tensor[];
}

/** Devices, and what lies there: placed when first needed, since not all contenders' tensors fit into memory together. */
class Group {
  readonly #names: readonly string[];
  readonly #batches: readonly Batch[];
  readonly #chainLength: number;
  #placing: Promise<Placed> | null = null;

  constructor(names: readonly string[], batches: readonly Batch[], chainLength: number) {
    this.#names = names;
    this.#batches = batches;
    this.#chainLength = chainLength;
  }

  run(kind: NetworkKind): LayerRun {
    const place = () => (this.#placing ??= this.#place());
    const running = async () => (await place()).network.run(kind);
    let run: LayerRun | null = null;
    return {
      refresh: async () => {
        run = await running();
      },
      forward: () => run?.forward(),
      // Ends when the devices have done all of the step.
      backward: async () => {
        await run?.backward?.();
        await Promise.all((await place()).marks.map((mark) => mark.data()));
      },
      results: async () => (await running()).results(),
    };
  }

  async dispose(): Promise<void> {
    const placed = await this.#placing;
    placed?.network.dispose();
    for (const mark of placed?.marks ?? []) mark.dispose();
  }

  async #place(): Promise<Placed> {
    await init(this.#names);
    const network = await ShardedNetwork.place(this.#names, this.#batches, this.#chainLength);
    return { network, marks: this.#names.map((device) => tensor([0], [1], { device })) };
  }
}

/** Messages and bytes that one step sends to the devices and back. */
async function countOf(names: readonly string[], run: LayerRun): Promise<Counts> {
  await run.refresh?.();
  const before = trafficOf(names);
  await run.forward();
  await run.backward?.();
  const after = trafficOf(names);
  return { step: { messages: after.messages - before.messages, bytes: after.bytes - before.bytes } };
}

/** Since the devices were started. */
function trafficOf(names: readonly string[]): { messages: number; bytes: number } {
  const those = devices.describe().filter(({ name }) => names.includes(name));
  const sum = (key: 'messages' | 'bytes') => those.reduce((total, { traffic }) => total + (traffic?.[key] ?? 0), 0);
  return { messages: sum('messages'), bytes: sum('bytes') };
}

/** A model on several devices, and its twin: the same layers, not synchronized, on one device, which never fail. */

import {
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  type Device,
  devices,
  patchReplicationCallback,
  type StateDict,
  tensor,
  type Tensor,
} from 'syncbn';
import { MemoryAccount } from './memory.ts';
import { disposeModel, layersOf, type Making, normsOf, randomizeState, Staged, stateOf } from './model.ts';
import { checkBits, Fault } from './outcome.ts';
import { endDevice, openDevice, renewDevice } from './platform.ts';
import type { NormOptions, Program } from './program.ts';
import { reachable } from './reachable.ts';
import type { Part } from './shards.ts';

/** Graphs that wait for their backward pass at most. */
const MOST_GRAPHS = 3;

/** A part of a batch at the twin: the whole, or one shard where shards are normalized by themselves. */
export interface TwinPart {
  readonly part: Part;
  readonly model: Staged;
  readonly x: Tensor;
  readonly y: Tensor;
}

/** A forward pass that waits for its backward, here and at the twin. */
export interface Graph {
  readonly shape: readonly number[];
  readonly x: Tensor;
  readonly y: Tensor;
  readonly shards: readonly Part[];
  readonly twins: readonly TwinPart[];
  /** Those of the replicas and of the output, which may have been lost since. */
  readonly devices: readonly Device[];
  /** Names of the devices of the replicas. */
  readonly replicas: readonly string[];
  readonly training: boolean;
  /** Whether the gradient of the input has the bits of the twin's. */
  readonly sameInputGradient: boolean;
  /** Whether the gradients of the parameters have the bits of the twin's. */
  readonly sameSums: boolean;
  /** What the operation of the user at the end of each replica does in its backward; `null`: there is none. */
  readonly probe: { run: (device: string) => void } | null;
}

/** What a test puts in the place of a twin's values, to see that the fuzzer finds it. */
export type Sabotage = (what: string, values: Float32Array, shape: readonly number[]) => Float32Array;

export class World {
  readonly program: Program;
  readonly names: readonly string[];
  /** The one device whose bits those of the model are. */
  readonly twinDevice: string;
  /** Whether several devices have the bits of one: not where GPUs and CPUs are mixed. */
  readonly isExact: boolean;
  readonly memory: MemoryAccount;
  readonly sabotage: Sabotage | null;
  readonly twin: DataParallel<Staged>;
  net: DataParallel<Staged>;
  graphs: Graph[] = [];
  snapshots: { readonly own: StateDict; readonly twin: StateDict } | null = null;
  /** Names of devices that have ended and were not made anew. */
  readonly lost = new Set<string>();
  /** What is still to be let go on in the end. */
  readonly gates: (() => void)[] = [];
  /** Whether a replica waits for the end of the program. */
  isUnsettled = false;
  #synchronized: boolean;

  private constructor(program: Program, twinDevice: string, sabotage: Sabotage | null) {
    this.program = program;
    this.sabotage = sabotage;
    this.names = program.devices;
    this.twinDevice = twinDevice;
    this.isExact = !isMixedWithGpus(program.devices);
    this.memory = new MemoryAccount([...new Set(['cpu:0', twinDevice, ...program.devices])]);
    this.#synchronized = program.wrapper !== 'plain';
    this.twin = new DataParallel(new Staged(program.model, this.#making(twinDevice, false)), {
      deviceIds: [twinDevice],
    });
    this.net = this.#newNet();
  }

  static async open(program: Program, sabotage: Sabotage | null = null): Promise<World> {
    const twin = program.devices.every((name) => name.startsWith('webgpu:')) ? 'webgpu:63' : 'cpu:63';
    for (const name of new Set(['cpu:0', twin, ...program.devices])) await openDevice(name);
    const world = new World(program, twin, sabotage);
    await randomizeState(world.twin.module, program.channels);
    await world.restore();
    return world;
  }

  /** Whether the layers of the model synchronize. */
  get synchronized(): boolean {
    return this.#synchronized;
  }

  get first(): string {
    return this.names[0] ?? 'cpu:0';
  }

  get norms(): readonly NormOptions[] {
    return this.program.model.flatMap(normsOf);
  }

  /** The dimension that batches are cut along, from the start. */
  get dim(): number {
    const { dim, rank } = this.program;
    return dim < 0 ? rank + dim : dim;
  }

  nameAt(number: number): string {
    return this.names[number % this.names.length] ?? 'cpu:0';
  }

  /** Sizes of a batch of the program's rank. */
  shapeOf(samples: number, rest: readonly number[], channels = this.program.channels): readonly number[] {
    return [samples, channels, ...Array.from({ length: this.program.rank - 2 }, (_, i) => rest[i] ?? 1)];
  }

  /** A model like the twin's, with its state and settings. */
  async twinCopy(): Promise<Staged> {
    const { module: twin } = this.twin;
    const copy = new Staged(this.program.model, this.#making(this.twinDevice, false));
    const state = twin.stateDict();
    await copy.loadStateDict(state);
    disposeState(state);
    copy.train(twin.training);
    const frozen = [...twin.parameters()].map(({ requiresGrad }) => requiresGrad);
    [...copy.parameters()].forEach((parameter, i) => (parameter.requiresGrad = frozen[i] ?? true));
    return copy;
  }

  /** Gives the model the twin's state. */
  async restore(): Promise<void> {
    const state = this.twin.module.stateDict();
    await this.net.module.loadStateDict(state);
    disposeState(state);
  }

  /** Gives the twin the model's gradients, where they may differ in their last bits. */
  async adoptGradients(): Promise<void> {
    const own = [...this.net.module.parameters()];
    this.twin.zeroGrad();
    for (const [i, parameter] of [...this.twin.module.parameters()].entries()) {
      const gradient = own[i]?.grad ?? null;
      parameter.grad =
        gradient === null ? null : tensor(await gradient.data(), parameter.shape, { device: this.twinDevice }).keep();
    }
  }

  /** Gives the twin the model's state, where it may differ in its last bits. */
  async adoptState(): Promise<void> {
    const state = this.net.module.stateDict();
    await this.twin.module.loadStateDict(state);
    disposeState(state);
  }

  /** Converts the model and its wrapper, or converts them back. */
  convert(synchronized: boolean): void {
    const parameters = [...this.net.parameters()];
    this.net = synchronized
      ? convertModel(this.net, { onTimeout: 'error', syncTimeout: 60 })
      : convertModel.revert<DataParallel<Staged>>(this.net);
    this.#synchronized = synchronized;
    const kept = [...this.net.parameters()];
    if (kept.length !== parameters.length || kept.some((parameter, i) => parameter !== parameters[i])) {
      throw new Fault('state', 'converted parameters', 'expected the same objects');
    }
  }

  push(graph: Graph): void {
    if (this.graphs.length === MOST_GRAPHS) this.release(this.taken(0));
    this.graphs.push(graph);
  }

  taken(number: number): Graph | null {
    const [graph = null] = this.graphs.splice(number % Math.max(this.graphs.length, 1), 1);
    return graph;
  }

  /** Gives back what is left of a graph. */
  release(graph: Graph | null): void {
    if (graph === null) return;
    [graph.x, graph.y].forEach((item) => item.dispose());
    this.releaseTwins(graph.twins);
  }

  releaseTwins(twins: readonly TwinPart[]): void {
    for (const { x, y, model } of twins) {
      [x, y].forEach((item) => item.dispose());
      if (model !== this.twin.module) disposeModel(model);
    }
  }

  /** Ends a device from outside. */
  async end(name: string): Promise<void> {
    this.lost.add(name);
    await endDevice(name);
    if (name === this.first) this.forgetSnapshots();
  }

  /** A new device of that name; with the first, a new model. */
  async recreate(name: string): Promise<void> {
    await renewDevice(name);
    this.memory.add(devices.get(name));
    this.lost.delete(name);
    if (name !== this.first) return;
    this.forgetSnapshots();
    const { training } = this.net.module;
    const frozen = [...this.net.module.parameters()].map(({ requiresGrad }) => requiresGrad);
    disposeModel(this.net.module);
    const { synchronized } = this;
    this.#synchronized = this.program.wrapper !== 'plain';
    this.net = this.#newNet();
    if (synchronized !== this.#synchronized) this.convert(synchronized);
    this.net.train(training);
    [...this.net.module.parameters()].forEach((parameter, i) => (parameter.requiresGrad = frozen[i] ?? true));
    this.twin.zeroGrad();
    await this.restore();
  }

  /** @throws Fault when the state is not the twin's. */
  async check(what: string): Promise<void> {
    if (this.lost.has(this.first)) return;
    const [state, expected] = [await stateOf(this.net.module), await stateOf(this.twin.module)];
    checkNames(what, [...state.keys()], [...expected.keys()]);
    for (const [name, values] of expected) checkBits('state', `${what}: ${name}`, state.get(name), values);
  }

  /** @throws Fault when a device holds anything that the program does not refer to. A replica that never settles keeps its own. */
  async checkMemory(what: string): Promise<void> {
    if (this.isUnsettled || this.lost.size > 0) return;
    const { own, twin } = this.snapshots ?? { own: {}, twin: {} };
    const states = [own, twin].flatMap((state) => Object.values(state).filter((value) => typeof value !== 'number'));
    const passes = this.graphs.flatMap(({ x, y, twins }) => [x, y, ...twins.flatMap((part) => [part.x, part.y])]);
    const copies = this.graphs.flatMap(({ twins }) => twins.map(({ model }) => model));
    const models = [this.net.module, this.twin.module, ...copies];
    const storages = reachable([...states, ...passes], models);
    await this.memory.checkExact(what, storages, (device) => devices.get(device.name) !== device);
  }

  forgetSnapshots(): void {
    if (this.snapshots === null) return;
    disposeState(this.snapshots.own);
    disposeState(this.snapshots.twin);
    this.snapshots = null;
  }

  dispose(): void {
    this.gates.forEach((open) => open());
    this.names.forEach((name) => (devices.get(name).memoryLimit = Infinity));
    this.graphs.forEach((graph) => this.release(graph));
    this.forgetSnapshots();
    disposeModel(this.net.module);
    disposeModel(this.twin.module);
  }

  #making(device: string, synchronized: boolean): Making {
    const { rank, channels } = this.program;
    return { rank, channels, device, synchronized };
  }

  #newNet(): DataParallel<Staged> {
    const { wrapper, output } = this.program;
    const options = { deviceIds: this.names, outputDevice: this.nameAt(output), dim: this.program.dim };
    const isSynchronized = wrapper === 'callback' || wrapper === 'patched';
    const model = new Staged(this.program.model, this.#making(this.first, isSynchronized));
    switch (wrapper) {
      case 'callback':
        return new DataParallelWithCallBack(model, options);
      case 'patched':
        return patchReplicationCallback(new DataParallel(model, options));
      case 'converted':
        return convertModel(new DataParallel(model, options), { onTimeout: 'error', syncTimeout: 60 });
      case 'plain':
        return new DataParallel(model, options);
      default:
        return wrapper satisfies never;
    }
  }
}

/** A set of names that must be another. */
function checkNames(what: string, actual: readonly string[], expected: readonly string[]): void {
  if (actual.join() === expected.join()) return;
  throw new Fault('state', `${what}: names`, `expected ${expected.join()}, got ${actual.join()}`);
}

function disposeState(state: StateDict): void {
  Object.values(state).forEach((value) => (typeof value === 'number' ? undefined : value.dispose()));
}

function isMixedWithGpus(names: readonly string[]): boolean {
  const gpus = names.filter((name) => name.startsWith('webgpu:')).length;
  return gpus > 0 && gpus < names.length;
}

/** Sets how long layers wait, and what they do then. */
export function setTimeouts(model: Staged, seconds: number, onTimeout: 'local' | 'error' = 'error'): void {
  for (const layer of layersOf(model))
    if ('syncTimeout' in layer) Object.assign(layer, { syncTimeout: seconds, onTimeout });
}

/**
 * A model on several devices goes through a sequence of steps beside a twin: plain layers on one device, which are given the
 * steps that succeed and nothing else. After every step the two have the same state, and every device holds what it must.
 */

import {
  BatchNorm1d,
  DataParallelWithCallBack,
  type Device,
  type DeviceKind,
  DeviceLostError,
  devices,
  noGrad,
  OutOfMemoryError,
  SynchronizedBatchNorm1d,
  type Tensor,
} from 'syncbn';
import { expect } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { batchOn, chunks, type Graph, release } from './fuzz_graph.ts';
import { type Account, bytesOf, CHANNELS, expectedLengths, twinDevice } from './fuzz_memory.ts';
import { disposeModel, type Event, stateOf, TwoLayers, update } from './fuzz_model.ts';
import { type ErrorClass, errorOf, expectCause, inTime } from './fuzz_outcome.ts';
import type { Failing, Moment, Sequence, Step } from './fuzz_steps.ts';
import { devicesSettled } from './modules.ts';

/** What differs between kinds of device. */
export interface Platform {
  /** Makes a device ready, a new one where the one of that name was lost. */
  open(name: string): Promise<void>;
  /** Ends a worker from outside. */
  terminate(name: string): Promise<void>;
}

/** Graphs that wait for their backward pass at most. */
const MOST_GRAPHS = 3;
/** What a replica throws on purpose. */
class Mishap extends Error {}

/** The steps of a kind. */
type Kind<K extends Step['kind'], S = Step> = S extends { readonly kind: infer Own }
  ? K extends Own
    ? S
    : never
  : never;

/** Runs a sequence from a fresh model to its end, where nothing may be left. */
export async function runSequence(
  { devices: count, steps }: Sequence,
  kind: DeviceKind,
  platform: Platform,
): Promise<void> {
  const names = Array.from({ length: count }, (_, r) => `${kind}:${r}`);
  for (const name of names) await platform.open(name);
  const twin = twinDevice(kind);
  await devices.get(twin).ready();
  const before = new Map([twin, ...names].map((name) => [devices.get(name), heldBy(devices.get(name))]));
  const run = new Run(names, twin, platform, before);
  try {
    await inTime(run.restore(), 'the beginning');
    for (const [i, step] of steps.entries()) {
      const label = `step ${i}, ${JSON.stringify(step)}`;
      await inTime(run.take(step), label);
      await inTime(run.check(label), label);
    }
  } finally {
    run.dispose();
  }
  run.checkEnd();
}

interface Held {
  readonly buffers: number;
  readonly bytesInUse: number;
}

function heldBy(device: Device): Held {
  const { buffers, bytesInUse } = device.memoryUsage();
  return { buffers, bytesInUse };
}

class Run {
  readonly #names: readonly string[];
  readonly #platform: Platform;
  readonly #before: ReadonlyMap<Device, Held>;
  readonly #twinDevice: string;
  readonly #twin: TwoLayers;
  #net: DataParallelWithCallBack<TwoLayers>;
  #graphs: Graph[] = [];
  /** Numbers of devices that have ended and were not made anew. */
  readonly #lost = new Set<number>();
  readonly #retired: Device[] = [];
  readonly #parametersOn = new Set<number>();
  readonly #statisticsOn = new Set<number>();
  #version = 0;
  #hasGradients = false;

  constructor(names: readonly string[], twin: string, platform: Platform, before: ReadonlyMap<Device, Held>) {
    this.#twinDevice = twin;
    this.#twin = new TwoLayers(() => new BatchNorm1d(CHANNELS, { device: twin }));
    this.#before = before;
    this.#names = names;
    this.#platform = platform;
    this.#net = this.#newNet();
  }

  /** Gives the model the twin's state, in a new model where the old one was lost with its device. */
  async restore(): Promise<void> {
    const state = this.#twin.stateDict();
    await this.#model.loadStateDict(state);
    Object.values(state).forEach((value) => (typeof value === 'number' ? undefined : value.dispose()));
    this.#parametersChanged();
    this.#statisticsOn.clear();
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'forward':
        return this.#forward(step);
      case 'eval':
        return this.#evaluate(step);
      case 'backward':
        return this.#backward(this.#taken(step.graph), step.seed, null);
      case 'dispose':
        release(this.#taken(step.graph));
        return;
      case 'update':
      case 'load':
      case 'zeroGrad':
        return this.#lost.has(0) ? undefined : this.#change(step);
      case 'fail':
        return this.#fail(step);
      case 'terminate':
        return this.#terminate(step);
      case 'recreate':
        return this.#recreate(step.device % this.#names.length);
      default:
        step satisfies never;
    }
  }

  /** @throws when the state is not the twin's, or a device holds anything else than it must. */
  async check(label: string): Promise<void> {
    const account: Account = {
      graphs: [],
      version: this.#version,
      hasGradients: this.#hasGradients,
      parametersOn: this.#parametersOn,
      statisticsOn: this.#statisticsOn,
    };
    for (const [r, name] of this.#names.entries()) {
      const device = devices.get(name);
      // What a graph held on a device that has been made anew is on the old one.
      const graphs = this.#graphs.filter((graph) => graph.devices[r] === device);
      const lengths = expectedLengths(r, { ...account, graphs });
      const expected = { buffers: lengths.length, bytesInUse: bytesOf(lengths, this.#twinDevice) };
      expect(this.#heldSince(device), `${label}: what ${name} holds`).toEqual(expected);
    }
    if (this.#lost.has(0)) return;
    const [state, expected] = [await stateOf(this.#model), await stateOf(this.#twin)];
    expect([...state.keys()]).toEqual([...expected.keys()]);
    for (const [name, values] of expected) {
      expectSameBits(state.get(name) ?? [], values, `${label}: ${name}`);
    }
  }

  dispose(): void {
    this.#graphs.forEach(release);
    disposeModel(this.#model);
    disposeModel(this.#twin);
  }

  /** @throws when anything is left anywhere, once it has been disposed. */
  checkEnd(): void {
    for (const device of [this.#twinDevice, ...this.#names].map((name) => devices.get(name)).concat(this.#retired)) {
      expect(this.#heldSince(device), `${device.name} in the end`).toEqual({ buffers: 0, bytesInUse: 0 });
    }
  }

  /** What a device holds more than before the run: one that failed may have left something. */
  #heldSince(device: Device): Held {
    const [before, now] = [this.#before.get(device), heldBy(device)];
    return {
      buffers: now.buffers - (before?.buffers ?? 0),
      bytesInUse: now.bytesInUse - (before?.bytesInUse ?? 0),
    };
  }

  async #forward({ samples, seed }: Kind<'forward'>): Promise<void> {
    const shards = chunks(samples, this.#names.length);
    const expected = this.#lostOf(shards) ? [DeviceLostError] : [];
    await this.#tryForward(shards, seed, expected, () => Promise.resolve());
  }

  async #evaluate({ samples, seed }: Kind<'eval'>): Promise<void> {
    const shards = chunks(samples, this.#names.length);
    [this.#net, this.#twin].forEach((module) => module.eval());
    const error = await errorOf(async () => {
      const [x, twinX] = [this.#batch(shards, seed), batchOn(this.#twinDevice, shards, seed)];
      try {
        const [y, twinY] = [await noGrad(() => this.#net.forward(x)), await noGrad(() => this.#twin.forward(twinX))];
        expectSameBits(await y.data(), await twinY.data(), 'evaluation');
        [y, twinY].forEach((item) => item.dispose());
        this.#copiesMade(shards);
      } finally {
        [x, twinX].forEach((item) => item.dispose());
      }
    });
    [this.#net, this.#twin].forEach((module) => module.train());
    expectCause(error, this.#lostOf(shards) ? [DeviceLostError] : []);
  }

  /** A forward pass in which one replica fails. */
  async #fail({ how, at, samples, device }: Kind<'fail'>): Promise<void> {
    const shards = chunks(samples, this.#names.length);
    if (this.#lostOf(shards)) return;
    const r = device % shards.length;
    // After the last layer a replica needs no more room.
    const way: Failing = how === 'starve' && at === 'after' ? 'throw' : how;
    const expected = { throw: Mishap, starve: OutOfMemoryError, terminate: DeviceLostError }[way];
    // What a single replica returns stays where it is: nothing is asked of its device any more.
    const goesUnseen = way === 'terminate' && at === 'after' && shards.length === 1;
    await this.#tryForward(shards, samples, goesUnseen ? 'perhaps' : [expected], async (replica, moment) => {
      if (replica !== r || moment !== at) return;
      await this.#befall(r, way, moment);
    });
  }

  async #befall(r: number, way: Failing, at: Moment): Promise<void> {
    const device = devices.get(this.#names[r] ?? '');
    switch (way) {
      case 'throw':
        throw new Mishap(`${at} in replica ${r}`);
      case 'starve':
        device.memoryLimit = device.memoryUsage().bytesInUse;
        return;
      case 'terminate':
        await this.#end(r);
        return;
      default:
        way satisfies never;
    }
  }

  /** A worker ends while something is under way, which may or may not succeed all the same. */
  async #terminate({ during, device }: Kind<'terminate'>): Promise<void> {
    const r = device % this.#names.length;
    if (this.#lost.size > 0) return;
    const ended: Promise<void>[] = [];
    if (during === 'forward') {
      const shards = this.#names.map(() => 2);
      await this.#tryForward(shards, r, 'perhaps', (replica, at) => {
        if (replica === r && at === 'before') ended.push(this.#end(r));
        return Promise.resolve();
      });
    } else if (during === 'backward') {
      await this.#backward(this.#taken(device), r, () => void ended.push(this.#end(r)));
    }
    await (ended[0] ?? this.#end(r));
  }

  /** @param expected - what the failure must come of; none where there must be none. */
  async #tryForward(
    shards: readonly number[],
    seed: number,
    expected: readonly ErrorClass[] | 'perhaps',
    happen: Event,
  ): Promise<void> {
    if (this.#graphs.length === MOST_GRAPHS) release(this.#taken(0));
    const wasWhole = !this.#lostOf(shards);
    let x: Tensor | null = null;
    let y: Tensor | null = null;
    this.#model.events.happen = happen;
    const error = await errorOf(async () => {
      x = this.#batch(shards, seed);
      y = await this.#net.forward(x);
    });
    this.#model.events.happen = () => Promise.resolve();
    this.#names.forEach((name) => (devices.get(name).memoryLimit = Infinity));
    // A failure is told at once; the other replicas give back what they hold when they come to it. Devices that are lost do not answer,
    // and those that are not may take long: on a fresh GPU a replica waits for pipelines first.
    if (error !== null) await Promise.all(this.#names.map((name) => devicesSettled([name]).catch(() => undefined)));
    if (wasWhole) this.#copiesMade(shards);
    expectCause(error, expected);
    const [given, result] = [x as Tensor | null, y as Tensor | null];
    if (given === null || result === null) {
      given?.dispose();
      return;
    }
    // Each device has computed its copy of the new ones.
    this.#statisticsOn.clear();
    this.#copiesMade(shards);
    const twinX = batchOn(this.#twinDevice, shards, seed);
    const twinY = await this.#twin.forward(twinX);
    const used = shards.map((_, r) => devices.get(this.#names[r] ?? ''));
    this.#graphs.push({ shards, version: this.#version, x: given, y: result, twinX, twinY, devices: used });
    if (!this.#lost.has(0)) expectSameBits(await result.data(), await twinY.data(), 'forward');
  }

  /** @param meanwhile - what happens at the same time, and may make it fail. */
  async #backward(graph: Graph | null, seed: number, meanwhile: (() => void) | null): Promise<void> {
    if (graph === null) return;
    const isWhole = graph.devices.every(
      (device, r) => devices.get(this.#names[r] ?? '') === device && !this.#lost.has(r),
    );
    const { x, y, twinX, twinY, shards } = graph;
    const error = await errorOf(async () => {
      const dy = this.#batch(shards, seed + 1, false);
      const pass = y.backward(dy).finally(() => dy.dispose());
      meanwhile?.();
      await pass;
    });
    expectCause(error, meanwhile === null ? (isWhole ? [] : [DeviceLostError]) : 'perhaps');
    if (error === null) {
      const dy = batchOn(this.#twinDevice, shards, seed + 1, false);
      await twinY.backward(dy);
      dy.dispose();
      this.#hasGradients = true;
      if (!this.#lost.has(0)) expectSameBits((await x.grad?.data()) ?? [], (await twinX.grad?.data()) ?? [], 'dx');
    }
    release(graph);
  }

  async #change({ kind, seed }: Kind<'update' | 'load' | 'zeroGrad'>): Promise<void> {
    if (kind === 'zeroGrad') {
      [this.#model, this.#twin].forEach((model) => model.zeroGrad());
      this.#hasGradients = false;
      return;
    }
    await update(this.#twin, seed);
    if (kind === 'load') {
      await this.restore();
    } else {
      await update(this.#model, seed);
      this.#parametersChanged();
    }
  }

  async #recreate(r: number): Promise<void> {
    const name = this.#names[r] ?? '';
    this.#retired.push(devices.get(name));
    devices.recreate(name);
    await this.#platform.open(name);
    this.#lost.delete(r);
    this.#parametersOn.delete(r);
    this.#statisticsOn.delete(r);
    if (r === 0) {
      disposeModel(this.#model);
      this.#net = this.#newNet();
      this.#twin.zeroGrad();
      this.#hasGradients = false;
      await this.restore();
    }
  }

  async #end(r: number): Promise<void> {
    this.#lost.add(r);
    await this.#platform.terminate(this.#names[r] ?? '');
  }

  get #model(): TwoLayers {
    return this.#net.module;
  }

  #newNet(): DataParallelWithCallBack<TwoLayers> {
    const [device = ''] = this.#names;
    const model = new TwoLayers(() => new SynchronizedBatchNorm1d(CHANNELS, { device, onTimeout: 'error' }));
    return new DataParallelWithCallBack(model, { deviceIds: this.#names });
  }

  #batch(shards: readonly number[], seed: number, requiresGrad = true): Tensor {
    return batchOn(this.#names[0] ?? '', shards, seed, requiresGrad);
  }

  #lostOf(shards: readonly number[]): boolean {
    return shards.some((_, r) => this.#lost.has(r));
  }

  #copiesMade(shards: readonly number[]): void {
    for (let r = 1; r < shards.length; r++) {
      this.#parametersOn.add(r);
      this.#statisticsOn.add(r);
    }
  }

  #parametersChanged(): void {
    this.#parametersOn.clear();
    this.#version += 1;
  }

  #taken(index: number): Graph | null {
    const [graph = null] = this.#graphs.splice(index % Math.max(this.#graphs.length, 1), 1);
    return graph;
  }
}

/** One training of the three networks side by side: the same weights to begin with, and the same batches. */

import {
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  type DeviceName,
  devices,
  init,
  type Sequential,
  scope,
  tensor,
} from 'syncbn';
import { largestDifference } from '../../../examples/digits/compare.ts';
import { crossEntropy } from '../../../examples/digits/layers/cross_entropy.ts';
import { randomStream } from '../../../examples/digits/random.ts';
import type { Classifier } from '../../../examples/digits/runs.ts';
import { Sgd } from '../../../examples/digits/sgd.ts';
import {
  type ChannelChoice,
  type LayerHere,
  type PerWay,
  type Report,
  type Settings,
  type Way,
  WAYS,
} from '../protocol.ts';
import { checksum } from './checksum.ts';
import { beliefsOf, Observed, type Watch } from './observed.ts';
import type { Batch, Examined, Task } from './task.ts';
import { told } from './told.ts';

export type Stepped = Extract<Report, { readonly type: 'stepped' }>;
export type ExaminedReport = Extract<Report, { readonly type: 'examined' }>;
export type Broken = Extract<Report, { readonly type: 'broken' }>;
export type Refused = Extract<Report, { readonly type: 'refused' }>;

const MOMENTUM = 0.9;
/** Independent sequences of the seed. */
const STREAMS = { weights: 1, batches: 2 } as const;

/** A network on its way. */
interface Run {
  readonly way: Way;
  /** The network itself, on the first device. */
  readonly network: Sequential;
  /** The same, spread over the devices. */
  readonly model: Classifier;
  readonly optimizer: Sgd;
  readonly watch: Watch;
  /** Steps that are done. */
  steps: number;
  loss: number | null;
  milliseconds: number | null;
}

export class Session {
  readonly #task: Task;
  readonly #settings: Settings;
  readonly #runs: Run[];
  readonly #source: Generator<Batch, never>;
  /** Of the step under way; a step that has failed is taken up again with it. */
  #batch: Batch | null = null;
  #step = 1;
  #choice: ChannelChoice;

  private constructor(task: Task, settings: Settings, choice: ChannelChoice, runs: Run[]) {
    this.#task = task;
    this.#settings = settings;
    this.#choice = choice;
    this.#runs = runs;
    const { deviceIds, samplesPerDevice, seed } = settings;
    this.#source = task.batches(deviceIds.length * samplesPerDevice, randomStream(seed, STREAMS.batches));
  }

  /** @throws the library's error where a device cannot be made ready. */
  static async open(task: Task, settings: Settings, choice: ChannelChoice): Promise<Session> {
    await init(settings.deviceIds);
    const runs: Run[] = [];
    for (const way of WAYS) {
      const watch: Watch = { choice, breaks: null, seen: [] };
      const network = task.network(randomStream(settings.seed, STREAMS.weights), watch);
      await network.to(firstOf(settings));
      const model = place(way, network, settings.deviceIds);
      const optimizer = new Sgd(network.parameters(), { lr: task.lr, momentum: MOMENTUM });
      runs.push({ way, network, model, optimizer, watch, steps: 0, loss: null, milliseconds: null });
    }
    return new Session(task, settings, choice, runs);
  }

  /** The batch norms, in the order of their numbers. */
  get layers(): LayerHere[] {
    const norms = [...(this.#run('one')?.network.modules() ?? [])].filter((module) => module instanceof Observed);
    return norms.map(({ layer }, i) => ({
      label: `${layer.numFeatures} channels, batch norm ${i + 1} of ${norms.length}`,
      channels: layer.numFeatures,
    }));
  }

  /** Looks at another channel from the next step on. */
  observe(choice: ChannelChoice): void {
    this.#choice = choice;
  }

  /** One step of every network. After a report of something broken, `repair()` and call it again: the step is taken up where it was. */
  async step(breaks: DeviceName | null = null): Promise<Stepped | Broken | Refused> {
    // Devices of one step are asked the same, also when another channel is chosen meanwhile.
    const choice = this.#choice;
    this.#batch ??= this.#source.next().value;
    for (const run of this.#runs.filter(({ steps }) => steps < this.#step)) {
      run.watch.choice = choice;
      const result = await this.#train(run, this.#batch, run.way === 'synchronized' ? breaks : null);
      if (result !== null) return result;
    }
    this.#batch = null;
    const { deviceIds } = this.#settings;
    return {
      type: 'stepped',
      step: this.#step++,
      losses: this.#perWay(({ loss }) => loss),
      milliseconds: this.#perWay(({ milliseconds }) => milliseconds),
      choice,
      beliefs: this.#perWay(({ watch }) => beliefsOf(watch.seen, deviceIds)),
    };
  }

  /** A fresh device in place of a broken one. Weights are on the first device, and are sent to it again. */
  async repair(device: DeviceName): Promise<void> {
    if (devices.get(device).kind === 'cpu') return;
    await devices.recreate(device).ready();
  }

  /** Tests all networks with images that they have not seen. */
  async examine(): Promise<ExaminedReport> {
    const examined = new Map<Way, Examined>();
    for (const { way, network } of this.#runs) {
      examined.set(way, await this.#task.examine(network, firstOf(this.#settings)));
    }
    const synchronized = examined.get('synchronized');
    if (synchronized === undefined) throw new Error('expected a synchronized network');
    return {
      type: 'examined',
      step: this.#step - 1,
      scores: this.#perWay(({ way }) => examined.get(way)?.score ?? null),
      difference: await this.#difference(),
      pictures: this.#task.pictures(examined.get('plain') ?? null, synchronized),
    };
  }

  /** @returns what to tell instead of going on; `null`: the step is done. */
  async #train(run: Run, batch: Batch, breaks: DeviceName | null): Promise<Broken | Refused | null> {
    const { network, watch } = run;
    const before = breaks === null ? '' : await checksum(network.stateDict());
    watch.seen.length = 0;
    watch.breaks = breaks;
    const start = performance.now();
    try {
      run.loss = await trainStep(run, batch, firstOf(this.#settings));
      run.milliseconds = performance.now() - start;
      run.steps = this.#step;
      return null;
    } catch (error) {
      const milliseconds = performance.now() - start;
      if (run.way === 'plain' && hasTooFewValues(error)) {
        this.#runs.splice(this.#runs.indexOf(run), 1);
        return { type: 'refused', error: told(error) };
      }
      if (breaks === null) throw error;
      const stateAfter = await checksum(network.stateDict());
      return { type: 'broken', device: breaks, error: told(error), stateBefore: before, stateAfter, milliseconds };
    } finally {
      watch.breaks = null;
    }
  }

  async #difference(): Promise<number> {
    const [one, synchronized] = await Promise.all(
      (['one', 'synchronized'] as const).map(async (way) => {
        const parameters = [...(this.#run(way)?.network.parameters() ?? [])];
        return Promise.all(parameters.map((parameter) => parameter.data()));
      }),
    );
    const differences = (one ?? []).map((values, i) => largestDifference(values, synchronized?.[i] ?? values));
    return Math.max(0, ...differences);
  }

  #run(way: Way): Run | undefined {
    return this.#runs.find((run) => run.way === way);
  }

  #perWay<T>(valueOf: (run: Run) => T | null): PerWay<T> {
    const value = (way: Way): T | null => {
      const run = this.#run(way);
      return run === undefined ? null : valueOf(run);
    };
    return { one: value('one'), plain: value('plain'), synchronized: value('synchronized') };
  }
}

/** With one value per channel on each device, plain batch norm is impossible. */
function hasTooFewValues(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Expected more than 1 value per channel when training');
}

/** Two calls make a network for one device one for several. */
function place(way: Way, network: Sequential, deviceIds: readonly DeviceName[]): Classifier {
  switch (way) {
    case 'one':
      return network;
    case 'plain':
      return new DataParallel(network, { deviceIds });
    case 'synchronized':
      return new DataParallelWithCallBack(convertModel(network), { deviceIds });
  }
}

/** One step on one batch. The scope frees every tensor made on the way. */
function trainStep({ model, optimizer }: Run, { images, shape, labels }: Batch, device: DeviceName): Promise<number> {
  return scope(async () => {
    const loss = await crossEntropy(await model.forward(tensor(images, shape, { device })), labels);
    await loss.backward();
    await optimizer.step();
    return loss.item();
  });
}

function firstOf({ deviceIds }: Settings): DeviceName {
  const [first] = deviceIds;
  if (first === undefined) throw new RangeError('expected at least one device, got none');
  return first;
}

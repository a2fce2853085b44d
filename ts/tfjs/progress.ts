/** What a training shows of itself: a bar on a terminal of Node, or a line per epoch. Loaded with the first training that shows something. */

import type { CustomCallbackArgs, Logs } from '@tensorflow/tfjs-layers';
import type { Progress, TrainingParams } from './training_params.ts';

/** A terminal that lines can be written over. */
export interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** What is used of the package `cli-progress`, which is of CommonJS. */
interface ProgressLibrary {
  readonly SingleBar: new (
    options: {
      readonly stream: Terminal;
      readonly format: string;
      readonly barsize: number;
      readonly hideCursor: boolean;
    },
    preset: unknown,
  ) => Bar;
  readonly Presets: { readonly shades_classic: unknown };
}

interface Bar {
  start(total: number, value: number, payload: object): void;
  update(value: number, payload: object): void;
  setTotal(total: number): void;
  stop(): void;
}

/**
 * What shows the progress of a training that asks for it.
 * @param terminal - where a bar is drawn; default the standard error stream of Node, if that is a terminal.
 * @returns `null` where there is nothing to show, or nothing to show it with.
 */
export async function progressOf(
  params: TrainingParams,
  terminal: Terminal | null = nodeTerminal(),
): Promise<Progress | null> {
  if (params.verbose === 2) {
    return new Lines(params);
  }
  if (params.verbose === 0 || terminal?.isTTY !== true) {
    return null;
  }
  const library = await progressLibrary();
  return library === null ? null : new Bars(params, terminal, library);
}

/** One bar after another, each for an epoch. */
class Bars implements Progress {
  readonly callbacks: CustomCallbackArgs;
  readonly #params: TrainingParams;
  readonly #terminal: Terminal;
  readonly #library: ProgressLibrary;
  #bar: Bar | null = null;
  #done = 0;
  #samples = 0;
  #start = 0;

  constructor(params: TrainingParams, terminal: Terminal, library: ProgressLibrary) {
    this.#params = params;
    this.#terminal = terminal;
    this.#library = library;
    this.callbacks = {
      onEpochBegin: (epoch) => this.#begin(epoch),
      onBatchEnd: (_, logs = {}) => {
        this.#done += 1;
        this.#samples += Number(logs['size']);
        this.#show(logs);
      },
      onEpochEnd: (_, logs = {}) => {
        // Where the number of steps was not known, it is now.
        this.#bar?.setTotal(this.#done);
        this.#show(logs);
        this.end();
      },
    };
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = null;
  }

  #begin(epoch: number): void {
    const { epochs, steps } = this.#params;
    const count = steps === null ? '{value} steps' : '{bar} {value}/{total}';
    const format = `epoch ${epoch + 1}/${epochs} ${count} · {rate} samples/s{logs}`;
    this.#bar = new this.#library.SingleBar(
      { stream: this.#terminal, format, barsize: 20, hideCursor: true },
      this.#library.Presets.shades_classic,
    );
    [this.#done, this.#samples, this.#start] = [0, 0, performance.now()];
    this.#bar.start(steps ?? 0, 0, { rate: '–', logs: '' });
  }

  #show(logs: Logs): void {
    const seconds = (performance.now() - this.#start) / 1000;
    const rate = (this.#samples / seconds).toFixed(0);
    this.#bar?.update(this.#done, { rate, logs: textOf(logs, this.#params) });
  }
}

/** A line for each epoch that is over. */
class Lines implements Progress {
  readonly callbacks: CustomCallbackArgs;

  constructor(params: TrainingParams) {
    let start = 0;
    this.callbacks = {
      onEpochBegin: () => void (start = performance.now()),
      onEpochEnd: (epoch, logs = {}) => {
        const seconds = ((performance.now() - start) / 1000).toFixed(1);
        console.log(`epoch ${epoch + 1}/${params.epochs} · ${seconds} s${textOf(logs, params)}`);
      },
    };
  }

  end(): void {
    // A line is over when it is written.
  }
}

/** The losses and metrics among the values that callbacks are told. */
function textOf(logs: Logs, { metrics }: TrainingParams): string {
  return metrics
    .filter((name) => typeof logs[name] === 'number')
    .map((name) => ` · ${name} ${Number(logs[name]).toPrecision(4)}`)
    .join('');
}

/** The stream that Node has for what is not the result of a program. */
function nodeTerminal(): Terminal | null {
  const { process } = globalThis as { readonly process?: { readonly stderr?: Terminal } };
  return process?.stderr ?? null;
}

/** The package that draws, where the program has it. */
async function progressLibrary(): Promise<ProgressLibrary | null> {
  const loaded = (await importedFrom('cli-progress').catch(() => null)) as
    (ProgressLibrary & { readonly default?: ProgressLibrary }) | null;
  return loaded?.default ?? loaded;
}

/** Bundlers must not look for it: pages have no terminal. The name is an argument, so that no optimizer writes it into the `import()`. */
function importedFrom(name: string): Promise<unknown> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ name);
}

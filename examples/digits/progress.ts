/** What the terminal shows while a run trains. */

import { Presets, SingleBar } from 'cli-progress';
import type { StepReport } from './train.ts';

/** Follows one run after another. */
export interface Progress {
  /** A run of so many steps begins. */
  start(name: string, steps: number): void;
  step(report: StepReport): void;
  /** The run is over; `note` is what came out. */
  finish(note: string): void;
}

/** A stream that knows whether it is a terminal. */
export type Terminal = NodeJS.WritableStream & { readonly isTTY?: boolean };

/** Steps over which the loss shown is averaged: single batches jump too much to be read. */
const AVERAGED_STEPS = 20;

/** A moving bar on a terminal; elsewhere, in a log or a pipe, a line per quarter of a run. */
export function createProgress(stream: Terminal): Progress {
  return stream.isTTY === true ? new BarProgress(stream) : new LineProgress(stream);
}

class BarProgress implements Progress {
  readonly #bar: SingleBar;
  readonly #loss = new AveragedLoss();
  #name = '';

  constructor(stream: NodeJS.WritableStream) {
    this.#bar = new SingleBar(
      {
        stream,
        format: '{name} {bar} {value}/{total} steps · loss {loss} · {rate} samples/s{note}',
        barsize: 16,
        hideCursor: true,
      },
      Presets.shades_classic,
    );
  }

  start(name: string, steps: number): void {
    this.#name = name;
    this.#loss.clear();
    this.#bar.start(steps, 0, { name: padded(name), loss: '–', rate: '–', note: '' });
  }

  step(report: StepReport): void {
    const loss = this.#loss.add(report.loss).toFixed(3);
    this.#bar.update(report.step, {
      name: padded(this.#name),
      loss,
      rate: report.samplesPerSecond.toFixed(0),
      note: '',
    });
  }

  finish(note: string): void {
    this.#bar.update({ note: ` · ${note}` });
    this.#bar.stop();
  }
}

class LineProgress implements Progress {
  readonly #stream: NodeJS.WritableStream;
  readonly #loss = new AveragedLoss();
  #name = '';
  #steps = 0;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  start(name: string, steps: number): void {
    this.#name = name;
    this.#steps = steps;
    this.#loss.clear();
  }

  step({ step, loss, samplesPerSecond }: StepReport): void {
    const averaged = this.#loss.add(loss).toFixed(3);
    if (Math.floor((4 * step) / this.#steps) > Math.floor((4 * (step - 1)) / this.#steps)) {
      const position = `${step}/${this.#steps} steps`;
      this.#stream.write(
        `${padded(this.#name)} ${position} · loss ${averaged} · ${samplesPerSecond.toFixed(0)} samples/s\n`,
      );
    }
  }

  finish(note: string): void {
    this.#stream.write(`${padded(this.#name)} ${note}\n`);
  }
}

/** The mean of the latest losses. */
class AveragedLoss {
  readonly #latest: number[] = [];

  clear(): void {
    this.#latest.length = 0;
  }

  add(loss: number): number {
    this.#latest.push(loss);
    if (this.#latest.length > AVERAGED_STEPS) {
      this.#latest.shift();
    }
    return this.#latest.reduce((a, b) => a + b) / this.#latest.length;
  }
}

/** Room for the longest name, so that bars of different runs stand below each other. */
function padded(name: string): string {
  return name.padEnd('synchronized, 64 × 1'.length);
}

/**
 * Compiles pipelines when they are first needed, with a turn of the event loop after each: some take as long as a page may stand
 * still. The kernels keep the commands that need them, and those given later, in order.
 */

import type { GpuKernels } from '../wasm/gpu_kernels.ts';
import { atEndOfTick } from '../end_of_tick.ts';
import type { WebGpuFailures } from './webgpu_failures.ts';

export class Compiling {
  readonly #kernels: GpuKernels;
  readonly #failures: WebGpuFailures;
  #running: Promise<void> | null = null;

  constructor(kernels: GpuKernels, failures: WebGpuFailures) {
    this.#kernels = kernels;
    this.#failures = failures;
    kernels.compileLater();
  }

  /** Sees to it that commands which wait for pipelines do not wait for ever. */
  begin(): void {
    this.#running ??= this.#compileAll();
  }

  /** Resolves when no command waits. */
  done(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  async #compileAll(): Promise<void> {
    const turn = (): Promise<void> => new Promise((resolve) => atEndOfTick(resolve));
    do {
      await turn();
    } while (this.#compileNext());
    this.#running = null;
  }

  /** Whether others wait. A device that traps here is lost; whoever uses it next is told. */
  #compileNext(): boolean {
    try {
      return !this.#failures.hasTrapped && this.#kernels.compileNext();
    } catch (error) {
      this.#failures.translate(error, 'compiling');
      return false;
    }
  }
}

/**
 * What may fail because memory of others takes part. Whoever owns a buffer may destroy or map it at any time, and the platform then
 * refuses the command that uses it, but says so later. So a command that uses memory which others hold has an error scope of its own;
 * what it writes, and what is computed from that, is in doubt until the platform has answered. Whoever keeps a result asks first
 * (`confirm`), and whoever uses one that has failed is told why. Commands without such memory pay nothing.
 */

import type { GpuKernels } from '../wasm/gpu_kernels.ts';
import type { WebGpuFailures } from './webgpu_failures.ts';

export interface DoubtfulBuffer {
  /** Whether somebody else owns the buffer or was handed it. */
  readonly isShared: boolean;
  /** While what wrote it may yet fail. */
  doubt: Promise<void> | null;
  /** Why what wrote it has failed. */
  failure: Error | null;
}

export class Doubts {
  readonly #kernels: GpuKernels;
  readonly #failures: WebGpuFailures;
  #hasScope = false;
  /** Doubts about what the command reads, and what it writes. */
  #sources: Promise<void>[] = [];
  #outputs: DoubtfulBuffer[] = [];

  constructor(kernels: GpuKernels, failures: WebGpuFailures) {
    this.#kernels = kernels;
    this.#failures = failures;
  }

  /** The command that is being given reads a buffer. @throws the error of what wrote it. */
  read(buffer: DoubtfulBuffer): void {
    if (buffer.failure !== null) {
      throw buffer.failure;
    }
    if (buffer.doubt !== null) {
      this.#sources.push(buffer.doubt);
    }
    if (buffer.isShared) {
      this.#beginScope();
    }
  }

  /** The command that is being given writes a buffer. */
  write(buffer: DoubtfulBuffer): void {
    this.#outputs.push(buffer);
    if (buffer.isShared) {
      this.#beginScope();
    }
  }

  /** The command has been given. Returns the doubt about what it writes, whose rejection somebody has seen. */
  end(): Promise<void> | null {
    const outputs = this.#outputs;
    if (outputs.length === 0 && !this.#hasScope && this.#sources.length === 0) {
      return null;
    }
    const sources = this.#sources;
    this.#sources = [];
    this.#outputs = [];
    const doubt = this.#hasScope || sources.length > 0 ? this.#doubtOf(sources) : null;
    for (const output of outputs) {
      output.doubt = doubt;
      output.failure = null;
    }
    doubt?.then(
      () => settle(outputs, doubt, null),
      (error: unknown) => settle(outputs, doubt, error as Error),
    );
    return doubt;
  }

  #beginScope(): void {
    if (!this.#hasScope) {
      this.#hasScope = true;
      this.#kernels.beginScope();
    }
  }

  async #doubtOf(sources: readonly Promise<void>[]): Promise<void> {
    const scope = this.#hasScope ? this.#kernels.endScope() : null;
    this.#hasScope = false;
    try {
      await Promise.all([scope, ...sources]);
    } catch (error) {
      throw this.#failures.translate(error, 'a command that uses a shared GPUBuffer');
    }
  }
}

/** What was in doubt has failed or not. Only what has not been written again since. */
export function settle(outputs: readonly DoubtfulBuffer[], doubt: Promise<void>, failure: Error | null): void {
  for (const output of outputs.filter((one) => one.doubt === doubt)) {
    output.doubt = null;
    output.failure = failure;
  }
}

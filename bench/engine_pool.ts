/** The engine processes of a run: started when first needed, all ended at the end. */

import type { EngineName } from './contenders.ts';
import { EngineProcess, type RunningEngine } from './engine_process.ts';

/** How an engine starts. */
export type StartEngine = (engine: EngineName, torchPython: string | null) => Promise<RunningEngine>;

export class EnginePool {
  readonly #torchPython: string | null;
  readonly #start: StartEngine;
  readonly #running = new Map<EngineName, RunningEngine>();
  readonly #versions = new Map<EngineName, string>();

  /** @param torchPython - a Python that can import torch, or `null` where PyTorch takes no part. */
  constructor(
    torchPython: string | null,
    start: StartEngine = (engine, python) => EngineProcess.start(engine, python),
  ) {
    this.#torchPython = torchPython;
    this.#start = start;
  }

  /** What the engines started so far call themselves. */
  get versions(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#versions);
  }

  /** The process of an engine, started where there is none. */
  async get(engine: EngineName): Promise<RunningEngine> {
    const running = this.#running.get(engine);
    if (running !== undefined) return running;
    const started = await this.#start(engine, this.#torchPython);
    this.#running.set(engine, started);
    this.#versions.set(engine, started.version);
    return started;
  }

  /** Ends one process; the next `get` starts another. */
  discard(engine: EngineName): void {
    this.#running.get(engine)?.stop();
    this.#running.delete(engine);
  }

  /** Ends all. */
  stop(): void {
    for (const engine of [...this.#running.keys()]) this.discard(engine);
  }
}

/** The engine processes of a run: started when first needed, all ended at the end. */

import type { EngineName } from './contenders.ts';
import { EngineProcess } from './engine_process.ts';

export class EnginePool {
  readonly #torchPython: string | null;
  readonly #running = new Map<EngineName, EngineProcess>();
  readonly #versions = new Map<EngineName, string>();

  /** @param torchPython - a Python that can import torch, or `null` where PyTorch takes no part. */
  constructor(torchPython: string | null) {
    this.#torchPython = torchPython;
  }

  /** What the engines started so far call themselves. */
  get versions(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#versions);
  }

  /** The process of an engine, started where there is none. */
  async get(engine: EngineName): Promise<EngineProcess> {
    const running = this.#running.get(engine);
    if (running !== undefined) return running;
    const started = await EngineProcess.start(engine, this.#torchPython);
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

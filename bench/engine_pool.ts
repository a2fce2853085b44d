/** The engines of a run: started when first needed, all ended at the end. */

import type { RunningEngine } from './protocol.ts';

/** How an engine starts. */
export type StartEngine = (engine: string) => Promise<RunningEngine>;

export class EnginePool {
  readonly #start: StartEngine;
  readonly #running = new Map<string, RunningEngine>();
  readonly #versions = new Map<string, string>();

  constructor(start: StartEngine) {
    this.#start = start;
  }

  /** What the engines started so far call themselves. */
  get versions(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#versions);
  }

  /** An engine, started where it does not run. */
  async get(engine: string): Promise<RunningEngine> {
    const running = this.#running.get(engine) ?? (await this.#start(engine));
    this.#running.set(engine, running);
    this.#versions.set(engine, running.version);
    return running;
  }

  /** Ends one; the next `get` starts another. */
  discard(engine: string): void {
    this.#running.get(engine)?.stop();
    this.#running.delete(engine);
  }

  /** Ends all. */
  stop(): void {
    for (const engine of [...this.#running.keys()]) this.discard(engine);
  }
}

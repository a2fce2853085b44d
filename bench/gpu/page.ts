/** The side of an engine in a page: `page_engine.ts` calls what is put on the window here. */

import { answer } from '../answer.ts';
import type { GpuFramework } from '../contenders.ts';
import type { Engine } from '../engine.ts';
import type { Answers, Request } from '../protocol.ts';
import { type AdapterDescription, describeAdapter } from './describe_adapter.ts';
import { openGpuEngine, type Versions } from './open_gpu_engine.ts';

export interface BenchmarkPage {
  describeAdapter(): Promise<AdapterDescription | null>;
  /** @returns the engine's version. */
  open(framework: GpuFramework, versions: Versions): Promise<string>;
  ask(request: Request): Promise<Answers[Request['command']]>;
}

let engine: Engine | null = null;

const benchmark: BenchmarkPage = {
  describeAdapter: () => describeAdapter((navigator as { gpu?: GPU }).gpu),
  async open(framework, versions) {
    engine = await openGpuEngine(framework, versions);
    return engine.version;
  },
  ask(request) {
    if (engine === null) throw new Error('open() comes first');
    return answer(engine, request);
  },
};

Object.assign(globalThis, { benchmark });

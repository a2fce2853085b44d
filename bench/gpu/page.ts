/** The side of an engine in a page: `pages.ts` calls what is put on the window here. */

import { answer } from '../answer.ts';
import type { Engine } from '../engine.ts';
import type { Request } from '../protocol.ts';
import { describeAdapter, openGpuEngine } from './gpu_engine.ts';

let engine: Engine | null = null;

const benchmark = {
  describeAdapter: () => describeAdapter((navigator as { gpu?: GPU }).gpu),
  /** @returns the engine's version. */
  async open(name: string): Promise<string> {
    engine = await openGpuEngine(name);
    return engine.version;
  },
  /** What comes from the parent lost its type on the way. */
  ask(request: unknown) {
    if (engine === null) throw new Error('open() comes first');
    return answer(engine, request as Request);
  },
};

export type BenchmarkPage = typeof benchmark;

Object.assign(globalThis, { benchmark });

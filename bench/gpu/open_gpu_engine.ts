/** The engines of `npm run bench:gpu`, by name, in a Node process or in a page. Each process and page opens one. */

import type { GpuFramework } from '../contenders.ts';
import type { Engine } from '../engine.ts';
import { countStep } from './count_step.ts';
import { WorkCounter } from './work_counter.ts';

/** Versions of packages, which a page cannot look up. */
export interface Versions {
  readonly syncbn: string;
  readonly jaxJs: string;
}

export async function openGpuEngine(framework: GpuFramework, versions: Versions): Promise<Engine> {
  const counter = new WorkCounter(globalThis);
  const engine = await open(framework, versions);
  return { ...engine, work: (variant) => countStep(engine, variant, counter) };
}

/** Imported when asked for, so that a process holds one framework and no other. */
async function open(framework: GpuFramework, versions: Versions): Promise<Engine> {
  switch (framework) {
    case 'syncbn':
      return (await import('./engines/syncbn.ts')).openSyncbn(versions.syncbn);
    case 'jax-js':
      return (await import('../engines/jax_js.ts')).openJaxJs('webgpu', versions.jaxJs);
    case 'tfjs':
      return (await import('./engines/tfjs.ts')).openTfjs();
    case 'copy':
      return (await import('./engines/copy.ts')).openCopy();
    case 'replicas':
      return (await import('./engines/replicas.ts')).openReplicas(versions.syncbn);
  }
}

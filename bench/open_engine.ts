/** The engines that run in a Node process, by name. Each process opens one. */

import type { EngineName } from './contenders.ts';
import type { Engine } from './engine.ts';

export async function openEngine(name: Exclude<EngineName, 'pytorch'>): Promise<Engine> {
  // Imported when asked for, so that a process holds one framework and no other.
  switch (name) {
    case 'syncbn':
      return (await import('./engines/syncbn_layers.ts')).openSyncbnLayers();
    case 'workers':
      return (await import('./engines/syncbn_workers.ts')).openSyncbnWorkers();
    case 'kernels':
      return (await import('./engines/syncbn_kernels.ts')).openSyncbnKernels();
    case 'jax-js':
      return (await import('./engines/jax_js.ts')).openJaxJs();
    case 'tfjs':
      return (await import('./engines/tfjs.ts')).openTfjs();
    case 'roofline':
      return (await import('./engines/roofline.ts')).openRoofline();
  }
}

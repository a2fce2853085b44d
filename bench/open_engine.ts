/** The engines that run in a Node process, by name. Each process opens one. */

import type { CpuEngineName } from './contenders.ts';
import type { Engine } from './engine.ts';
import { packageVersion } from './repository.ts';

export async function openEngine(name: Exclude<CpuEngineName, 'pytorch'>): Promise<Engine> {
  // Imported when asked for, so that a process holds one framework and no other.
  switch (name) {
    case 'syncbn':
      return (await import('./engines/syncbn_layers.ts')).openSyncbnLayers(packageVersion());
    case 'workers':
      return (await import('./engines/syncbn_workers.ts')).openSyncbnWorkers();
    case 'kernels':
      return (await import('./engines/syncbn_kernels.ts')).openSyncbnKernels();
    case 'jax-js':
      return (await import('./engines/jax_js.ts')).openJaxJs('wasm', packageVersion('node_modules/@jax-js/jax'));
    case 'tfjs':
      return (await import('./engines/tfjs.ts')).openTfjs();
    case 'roofline':
      return (await import('./engines/roofline.ts')).openRoofline();
  }
}

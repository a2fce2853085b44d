/** What the machine has to compute with. */

import type { DevicesHere } from '../protocol.ts';

/** Devices of one kind: more would make batches too large to watch. */
const MOST = 16;
/** Each is a device of its own on the same GPU. */
const MOST_ON_A_GPU = 4;

/** What is known at once, and then with the GPU, for which the browser has to be asked. */
export async function* devicesHere(): AsyncGenerator<DevicesHere[], void> {
  const cores = navigator.hardwareConcurrency;
  const here: DevicesHere[] = [
    { kind: 'cpu', label: 'Parts of one thread, which take turns', most: MOST },
    {
      kind: 'worker',
      label: cores === 1 ? 'Processor core' : `Processor cores, of ${cores}`,
      most: Math.min(MOST, cores),
    },
  ];
  yield here;
  const gpu = await gpuName();
  if (gpu !== null) yield [...here, { kind: 'webgpu', label: `GPU: ${gpu}`, most: MOST_ON_A_GPU }];
}

/** As its adapter is called; browsers may tell the maker alone. `null`: there is none. */
async function gpuName(): Promise<string | null> {
  const { gpu } = navigator as { readonly gpu?: GPU };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  if (adapter === null || adapter === undefined) return null;
  const { description, vendor, architecture } = adapter.info;
  return description || `${vendor} ${architecture}`.trim() || 'of an unknown maker';
}

/** What a page and Node both do with the bundle, to be compared. */

import type * as Syncbn from 'syncbn';

/** Bits of f32 numbers. */
export type StepBits = Readonly<Record<'output' | 'inputGradient' | 'weightGradient' | 'runningVar', number[]>>;

/** Where the step is done. */
export interface Places {
  readonly kind: Syncbn.DeviceKind;
  /** Address of the workers' program; `null`: it comes with the bundle. */
  readonly workerUrl: string | null;
}

const shape = [5, 3, 4, 2];

/**
 * One training step of a synchronized layer over three devices, on uneven shards.
 *
 * @param bundle - address of the bundle, imported as users import it
 */
export async function trainOneStep(bundle: string, { kind, workerUrl }: Places): Promise<StepBits> {
  const { DataParallelWithCallBack, devices, SynchronizedBatchNorm2d, tensor } = (await import(
    /* @vite-ignore */ bundle
  )) as typeof Syncbn;
  devices.configure({ workerUrl });
  const device = `${kind}:0`;
  const norm = new SynchronizedBatchNorm2d(3);
  const net = new DataParallelWithCallBack(norm, { deviceIds: [device, `${kind}:1`, `${kind}:2`] });
  await net.to(device);
  const x = tensor(fractions(31), shape, { requiresGrad: true, device });
  const y = await net.forward(x);
  await y.backward(tensor(fractions(47), shape, { device }));
  return {
    output: bitsOf(await y.data()),
    inputGradient: bitsOf(await x.grad?.data()),
    weightGradient: bitsOf(await norm.weight?.grad?.data()),
    runningVar: bitsOf(await norm.runningVar?.data()),
  };
}

/** Numbers between 0 and 1 that are the same on every platform: whole numbers are, and so is their division. */
function fractions(factor: number): Float32Array {
  return Float32Array.from({ length: 5 * 3 * 4 * 2 }, (_, i) => ((i * factor) % 101) / 101);
}

function bitsOf(values: Float32Array | undefined): number[] {
  if (values === undefined) throw new Error('the step left a gradient or a statistic null');
  return [...new Uint32Array(values.buffer, values.byteOffset, values.length)];
}

/** What a page and Node both do with the bundle, to be compared. */

import type * as Syncbn from 'syncbn';

/** Bits of f32 numbers. */
export type StepBits = Readonly<Record<'output' | 'inputGradient' | 'weightGradient' | 'runningVar', number[]>>;

const shape = [5, 3, 4, 2];

/**
 * One training step of a synchronized layer over three devices, on uneven shards.
 *
 * @param bundle - address of the bundle, imported as users import it
 */
export async function trainOneStep(bundle: string): Promise<StepBits> {
  const { DataParallelWithCallBack, SynchronizedBatchNorm2d, tensor } = (await import(
    /* @vite-ignore */ bundle
  )) as typeof Syncbn;
  const norm = new SynchronizedBatchNorm2d(3);
  const net = new DataParallelWithCallBack(norm, { deviceIds: ['cpu:0', 'cpu:1', 'cpu:2'] });
  await net.to('cpu:0');
  const x = tensor(fractions(31), shape, { requiresGrad: true });
  const y = await net.forward(x);
  await y.backward(tensor(fractions(47), shape));
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

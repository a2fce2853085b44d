/** What the ranks of a page and one process of Node both do, to be compared. */

import type * as Syncbn from 'syncbn';
import type { ProcessGroup } from 'syncbn/distributed';

/** What a rank has of the step, as bits of f32 numbers. */
export interface RankStep {
  readonly output: number[];
  readonly inputGradient: number[];
  readonly state: number[];
}

const SAMPLES = 7;
const SHAPE = [3, 5];

/**
 * One training step of a synchronized layer, on this rank's part of the batch.
 *
 * @param bundle - address of the library
 */
export async function stepOfRank(bundle: string, group: ProcessGroup): Promise<RankStep> {
  const { SynchronizedBatchNorm1d, tensor } = (await import(/* @vite-ignore */ bundle)) as typeof Syncbn;
  const { rank, size } = group;
  const perSample = SHAPE.reduce((a, b) => a * b);
  const [first, end] = [rank, rank + 1].map((each) => perSample * Math.ceil((SAMPLES * each) / size));
  const shardOf = (factor: number): Float32Array => fractions(factor, SAMPLES * perSample).slice(first, end);
  const shape = [shardOf(1).length / perSample, ...SHAPE];
  const norm = new SynchronizedBatchNorm1d(SHAPE[0] ?? 0, { processGroup: group });
  const x = tensor(shardOf(31), shape, { requiresGrad: true });
  const y = await norm.forward(x);
  await y.backward(tensor(shardOf(47), shape));
  const state = [norm.runningMean, norm.runningVar, norm.weight?.grad, norm.bias?.grad];
  return {
    output: bitsOf(await y.data()),
    inputGradient: bitsOf(await x.grad?.data()),
    state: (await Promise.all(state.map(async (each) => bitsOf(await each?.data())))).flat(),
  };
}

/** Numbers between 0 and 1 that are the same on every platform: whole numbers are, and so is their division. */
function fractions(factor: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => ((i * factor) % 101) / 101);
}

function bitsOf(values: Float32Array | undefined): number[] {
  if (values === undefined) throw new Error('the step left a gradient or a statistic null');
  return [...new Uint32Array(values.buffer, values.byteOffset, values.length)];
}

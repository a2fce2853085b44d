/** Batches of the fuzz tests, and the graphs that their forward passes leave. */

import { type Device, tensor, type Tensor } from 'syncbn';
import { randomArray, randomBits } from '../support/random.ts';
import { CHANNELS, type Holding, LENGTH } from './fuzz_memory.ts';

/** A forward pass that waits for its backward, here and at the twin. */
export interface Graph extends Holding {
  readonly x: Tensor;
  readonly y: Tensor;
  readonly twinX: Tensor;
  readonly twinY: Tensor;
  /** Those it ran on, which may have been lost since. */
  readonly devices: readonly Device[];
}

/** A batch of as many samples as all shards have. */
export function batchOn(device: string, shards: readonly number[], seed: number, requiresGrad = true): Tensor {
  const samples = shards.reduce((sum, count) => sum + count, 0);
  const values = randomArray(randomBits(seed, samples), samples * CHANNELS * LENGTH);
  return tensor(values, [samples, CHANNELS, LENGTH], { device, requiresGrad });
}

/** Gives back what is left of a graph. */
export function release(graph: Graph | null): void {
  if (graph !== null) [graph.x, graph.y, graph.twinX, graph.twinY].forEach((item) => item.dispose());
}

/** Samples of each replica, as `torch.chunk` has them. */
export function chunks(samples: number, count: number): number[] {
  const size = Math.ceil(samples / count);
  return Array.from({ length: Math.ceil(samples / size) }, (_, i) => Math.min(size, samples - i * size));
}

/** Synchronized layers in process groups, as several tests have them. */

import { type ProcessGroup as LayerGroup, SynchronizedBatchNorm1d, tensor, type Tensor } from 'syncbn';
import { type ProcessGroup, runRanks } from 'syncbn/distributed';
import { expect } from 'vitest';
import { settled } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';

/** A group that notes the tags of its exchanges. */
export function counted(group: ProcessGroup, tags: string[]): LayerGroup {
  const { rank, size } = group;
  const allGather: LayerGroup['allGather'] = (bytes, tag) => {
    tags.push(tag);
    return group.allGather(bytes, tag);
  };
  return { rank, size, allGather, abort: (reason) => group.abort(reason) };
}

/** Resolves when so many exchanges have begun. */
export async function begun(tags: readonly string[], count: number): Promise<void> {
  for (let turn = 0; turn < 1000 && tags.length < count; turn++) await settled();
  expect(tags).toHaveLength(count);
}

export function batch(samples: number, requiresGrad = true): Tensor {
  return tensor(randomArray(samples, samples * 6), [samples, 2, 3], { requiresGrad });
}

/** A training step of `samples` samples. */
export async function step(layer: { forward(x: Tensor): Promise<Tensor> }, samples: number): Promise<void> {
  const y = await layer.forward(batch(samples));
  await y.backward(batch(samples, false));
}

/** Loads what a synchronized layer with a group needs. */
export async function loadLayer(): Promise<void> {
  await runRanks(2, (processGroup) => step(new SynchronizedBatchNorm1d(2, { processGroup }), 2));
}

/** What the ranks of the benchmark do. */

import * as tf from '@tensorflow/tfjs-core';
import { createLocalGroups, initProcessGroup, type ProcessGroup } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { loadDataset } from '../../examples/digits/dataset.ts';
import { randomStream } from '../../examples/digits/random.ts';
import { trainRank as trainDigits } from '../../examples/digits_distributed/train_rank.ts';
import { trainRank as trainMobileNet } from '../../examples/mobilenet_distributed/train_rank.ts';
import { publishTime } from './bare_nats.ts';
import { fastest, GATHER_BYTES, GATHERS, median, REDUCE_VALUES, REDUCTIONS, type Times, typicalOf } from './timing.ts';

export type Task =
  /** Over a server on this machine, without collectives: one way, or both at once. */
  | { readonly kind: 'publish'; readonly port: number; readonly isBothWays: boolean }
  | { readonly kind: 'collectives' }
  /** The same over a server on this machine. */
  | { readonly kind: 'nats'; readonly port: number; readonly job: string }
  /** @param isAlone - each rank trains by itself, beside the others: what the machine can do at most. */
  | { readonly kind: 'digits' | 'mobilenet'; readonly steps: number; readonly isAlone: boolean };

/** Images of each rank in a step. */
export const BATCH = { digits: 16, mobilenet: 16 };

/** @returns times of collectives, or how long a step of a training took, in seconds. */
export async function runTask(group: ProcessGroup, task: Task): Promise<Times | number> {
  switch (task.kind) {
    case 'publish':
      return publishTime(group, task.port, task.isBothWays);
    case 'collectives':
      return collectives(group);
    case 'nats': {
      const backend = nats({ servers: `nats://127.0.0.1:${task.port}` });
      const { rank, size: worldSize } = group;
      const own = await initProcessGroup({ backend, job: task.job, rank, worldSize });
      try {
        return await collectives(own);
      } finally {
        await own.destroy();
      }
    }
    case 'digits':
    case 'mobilenet': {
      const [alone = group] = task.isAlone ? await createLocalGroups(1) : [group];
      const train = task.kind === 'digits' ? secondsOfDigits : secondsOfMobileNet;
      const seconds = await train(alone, task.steps);
      // Nobody may have the machine for itself.
      await group.barrier();
      return typicalOf(seconds);
    }
  }
}

export async function collectives(group: ProcessGroup): Promise<Times> {
  const bytes = new Uint8Array(GATHER_BYTES);
  const gather = await median(GATHERS, () => group.allGather(bytes, 'layer'));
  const values = new Float32Array(REDUCE_VALUES).fill(1);
  const reduce = await fastest(REDUCTIONS, () => group.allReduce(values));
  return { gather, reduce };
}

/** How long each step took. */
async function secondsOfDigits(group: ProcessGroup, steps: number): Promise<readonly number[]> {
  const dataset = loadDataset(1000, randomStream(1, 0));
  const seconds: number[] = [];
  let last = performance.now();
  await trainDigits(group, dataset, { batch: BATCH.digits * group.size, steps, seed: 1 }, () => {
    const now = performance.now();
    seconds.push((now - last) / 1000);
    last = now;
  });
  return seconds;
}

async function secondsOfMobileNet(group: ProcessGroup, steps: number): Promise<readonly number[]> {
  await tf.setBackend('wasm');
  registerTrainingKernels();
  return (await trainMobileNet(group, { batch: BATCH.mobilenet, steps })).seconds;
}

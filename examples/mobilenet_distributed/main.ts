/**
 * Trains MobileNetV2 of TensorFlow.js on all cores, one rank each, and on one, and compares: `npm run example:mobilenet`. This file is the program of
 * the ranks, too.
 */

import { availableParallelism } from 'node:os';
import { isMainThread, Worker } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { type RankContext, spawn, type SpawnedWorker, spawnable } from 'syncbn/distributed';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { type RankResult, trainRank, type TrainOptions } from './train_rank.ts';

spawnable(async ({ group, args }: RankContext<TrainOptions>) => {
  await tf.setBackend('wasm');
  registerTrainingKernels();
  return trainRank(group, args);
});

if (isMainThread) {
  const [steps = 12, most = availableParallelism()] = process.argv.slice(2).map(Number);
  const args: TrainOptions = { batch: 16, steps };
  const make = (): SpawnedWorker => new Worker(new URL(import.meta.url)) as unknown as SpawnedWorker;
  let alone = NaN;
  for (const nprocs of new Set([1, most])) {
    const [first] = await spawn<RankResult>(make, { nprocs, args });
    // The first steps load and compile.
    const settled = [...(first?.seconds ?? [])].slice(steps >> 1).sort((a, b) => a - b);
    const perSecond = (nprocs * args.batch) / (settled[settled.length >> 1] ?? NaN);
    if (nprocs === 1) alone = perSecond;
    console.log(
      `${nprocs} ranks of ${args.batch} images · ${perSecond.toFixed(2)} samples/s, ${(perSecond / alone).toFixed(2)} times one rank · loss ${first?.losses.at(-1)?.toFixed(3)}`,
    );
  }
}

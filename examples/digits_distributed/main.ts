/**
 * Trains the digits network on several ranks, one thread each: `npm run example:distributed`. This file is the program of the ranks, too.
 */

import { isMainThread, Worker } from 'node:worker_threads';
import { type RankContext, spawn, type SpawnedWorker, spawnable } from 'syncbn/distributed';
import { loadDataset } from '../digits/dataset.ts';
import { randomStream } from '../digits/random.ts';
import { STREAMS } from '../digits/train.ts';
import { type RankOptions, trainRank } from './train_rank.ts';

/** How many of the 10,000 images are left out of training. */
const TEST_IMAGES = 1000;

spawnable(async ({ rank, group, args }: RankContext<RankOptions>) => {
  const dataset = loadDataset(TEST_IMAGES, randomStream(args.seed, STREAMS.split));
  const start = performance.now();
  let last = NaN;
  await trainRank(group, dataset, args, (step, { loss }) => {
    last = loss;
    if (rank === 0 && step % 10 === 0) {
      const perSecond = (step * args.batch * 1000) / (performance.now() - start);
      console.log(`step ${step} · loss ${loss.toFixed(3)} · ${perSecond.toFixed(0)} samples/s`);
    }
  });
  return last;
});

if (isMainThread) {
  const [nprocs = 2, steps = 60] = process.argv.slice(2).map(Number);
  const args: RankOptions = { batch: 16, steps, seed: 1 };
  const losses = await spawn<number>(() => new Worker(new URL(import.meta.url)) as unknown as SpawnedWorker, {
    nprocs,
    args,
  });
  console.log(`${nprocs} ranks end with the losses ${losses.join(', ')}`);
}

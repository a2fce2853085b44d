/**
 * Trains the digits network on ranks in Node and in pages of browsers, which meet at a NATS server: `npm run example:nats`. This file is the program of
 * the threads that the ranks of Node run in, too.
 */

import { isMainThread, Worker } from 'node:worker_threads';
import { createLocalGroups, type RankContext, spawn, spawnable, type SpawnedWorker } from 'syncbn/distributed';
import { randomStream } from '../digits/random.ts';
import type { Samples } from '../digits/samples.ts';
import { STREAMS } from '../digits/train.ts';
import { trainRank } from '../digits_distributed/train_rank.ts';
import { startBroker } from './broker.ts';
import { type NatsOptions, readOptions } from './options.ts';
import { servePages } from './page_server.ts';
import { type RankPlace, runRank, shareOf } from './run_rank.ts';

/** Of the 10,000 images; a page loads them from here. */
const TRAIN_IMAGES = 2000;

/** What each of the threads is told; their ranks are the first ones. */
interface ThreadArgs {
  readonly training: Omit<RankPlace, 'rank'>;
  readonly train: Samples;
}

spawnable(async ({ rank, args }: RankContext<ThreadArgs>) => {
  const place = { ...args.training, rank };
  let sum = 0;
  let last = new Float32Array();
  await runRank(place, args.train, `Node ${process.version.slice(1)}`, (news) => {
    if ('weights' in news) {
      last = Float32Array.from(news.weights);
    } else if ('platforms' in news) {
      if (rank === 0)
        console.log(
          news.platforms
            .map((name, other) => `rank ${other}: ${name}, ${shareOf(place, other)} of ${place.batch} samples`)
            .join('\n'),
        );
    } else {
      sum += news.milliseconds;
      if (rank === 0 && (news.step % 10 === 0 || news.step === place.steps)) {
        const perSecond = (1000 * news.step * place.batch) / sum;
        console.log(
          `step ${news.step} · loss ${news.loss.toFixed(4)} · ${perSecond.toFixed(0)} samples/s · ${(sum / news.step).toFixed(0)} ms a step`,
        );
      }
    }
  });
  return last;
});

/** In the thread that starts the others alone, since reading the images takes a second. */
async function loadImages(seed: number): Promise<Samples> {
  const { loadDataset } = await import('../digits/dataset.ts');
  return loadDataset(10_000 - TRAIN_IMAGES, randomStream(seed, STREAMS.split)).train;
}

/** The weights that one process has after the same training. */
async function weightsOfOneProcess(train: Samples, options: NatsOptions): Promise<Float32Array> {
  const [group] = await createLocalGroups(1);
  if (group === undefined) throw new Error('expected a group');
  let last = new Float32Array();
  await trainRank(group, { train }, options, async (step, { weights }) => {
    if (step === options.steps) last = Float32Array.from(await weights());
  });
  return last;
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === null) return;
  const { nodeRanks, pages, seed, batch, steps, timeout } = options;
  // Another one for each run, so that a page of an older run does not come into this one.
  const job = `digits-${crypto.randomUUID()}`;
  await using broker = await startBroker(options);
  const train = await loadImages(seed);
  const training = { job, worldSize: nodeRanks + pages, timeout, seed, batch, steps };
  await using server = await servePages({
    images: train,
    placeOf: (page) => (page < pages ? { ...training, servers: broker.webServers, rank: nodeRanks + page } : null),
  });
  if (pages > 0) console.log(`open ${server.address} in ${pages === 1 ? 'a browser' : `${pages} tabs or browsers`}`);
  const make = (): SpawnedWorker => new Worker(new URL(import.meta.url)) as unknown as SpawnedWorker;
  const args: ThreadArgs = { training: { ...training, servers: broker.servers }, train };
  const [weights = new Float32Array()] = await spawn<Float32Array>(make, { nprocs: nodeRanks, args, timeout });
  console.log(`all ${nodeRanks + pages} ranks have the same weights, bit for bit`);
  if (options.compare) {
    const alone = await weightsOfOneProcess(train, options);
    const differing = alone.reduce((count, value, i) => count + (Object.is(value, weights[i]) ? 0 : 1), 0);
    const isSame = differing === 0 && alone.length === weights.length;
    console.log(
      isSame
        ? 'they are those of one process, bit for bit'
        : `${differing} of ${alone.length} weights are not those of one process`,
    );
    process.exitCode = isSame ? 0 : 1;
  }
}

if (isMainThread) {
  try {
    await main();
  } catch (error) {
    console.error(String(error));
    process.exitCode = 1;
  }
}

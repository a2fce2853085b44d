/**
 * What exchanges between ranks cost, beside bare messages and PyTorch's gloo in the same run, and how training scales over ranks:
 * `npm run bench:distributed`. Needs `nats-server`; gloo is measured where `TORCH_PYTHON` or `python3` has PyTorch. This file is the program of the ranks,
 * too.
 */

import { availableParallelism } from 'node:os';
import { isMainThread, Worker } from 'node:worker_threads';
import '@tensorflow/tfjs-backend-wasm';
import { Command } from 'commander';
import { type RankContext, runRanks, spawn, type SpawnedWorker, spawnable } from 'syncbn/distributed';
import { startNatsServer } from '../../tests/support/nats_server.ts';
import { describeMachine } from '../machine.ts';
import { table } from '../report.ts';
import { barePorts, bareRequest } from './bare.ts';
import { gloo } from './gloo.ts';
import { BATCH, collectives, runTask, type Task } from './tasks.ts';
import { REDUCE_VALUES, type Times } from './timing.ts';

spawnable(({ group, args }: RankContext<Task>) => runTask(group, args));

function ranks<Result>(nprocs: number, args: Task, sharedMemory = true): Promise<Result[]> {
  const make = (): SpawnedWorker => new Worker(new URL(import.meta.url)) as unknown as SpawnedWorker;
  return spawn<Result>(make, { nprocs, args, sharedMemory, timeout: 120 });
}

const notMeasured = 'not measured';

/** Numbers of ranks that train, as far as there are cores. */
const SCALING = [1, 2, 4];

async function measureCollectives(sizes: readonly number[]): Promise<void> {
  const server = await startNatsServer();
  try {
    const port = await barePorts();
    const request = await bareRequest(server.port);
    const publish = async (isBothWays: boolean): Promise<number> =>
      (await ranks<number>(2, { kind: 'publish', port: server.port, isBothWays }))[0] ?? NaN;
    const [oneWay, bothWays] = [await publish(false), await publish(true)];
    const ms = (time: number): string => time.toPrecision(3);
    console.log(`bare postMessage round trip of 4 KiB: ${ms(port)} ms p50`);
    const megabytes = (4 * REDUCE_VALUES) / 1e6;
    console.log(`bare NATS request and reply of 4 KiB: ${ms(request)} ms p50`);
    console.log(
      `bare NATS, two threads: ${megabytes} MB published and read: ${ms(oneWay)} ms at best; by each of both at once: ${ms(bothWays)} ms`,
    );
    const rows: string[][] = [];
    let natsOfTwo: number | null = null;
    for (const size of sizes) {
      const add = (name: string, times: Times | undefined, unit: number | null): void => {
        const inUnits = times === undefined || unit === null ? '' : (times.gather / unit).toFixed(2);
        const shown =
          times === undefined ? [notMeasured, '', notMeasured] : [ms(times.gather), inUnits, ms(times.reduce)];
        rows.push([name, String(size), ...shown]);
      };
      add('local, one thread', (await runRanks(size, collectives))[0], null);
      add('ports, shared memory', (await ranks<Times>(size, { kind: 'collectives' }))[0], port);
      add('ports, messages', (await ranks<Times>(size, { kind: 'collectives' }, false))[0], port);
      const job = `bench-${size}`;
      const [overNats] = await ranks<Times>(size, { kind: 'nats', port: server.port, job });
      add('nats', overNats, request);
      if (size === 2 && overNats !== undefined) natsOfTwo = overNats.reduce;
      add('gloo', gloo(size) ?? undefined, null);
    }
    const heads = ['', 'ranks', 'all-gather, 4 KiB, p50 ms', 'in bare round trips', 'all-reduce, 25 MB, ms at best'];
    console.log(table('Collectives', heads, rows));
    if (natsOfTwo !== null) {
      const reduce = natsOfTwo;
      const share = (time: number): string => `${((100 * time) / reduce).toFixed(0)} %`;
      console.log(
        `nats, 2 ranks, all-reduce of ${megabytes} MB: each publishes and reads as many, ${((2 * megabytes * 1000) / reduce).toFixed(0)} MB/s through ` +
          `the broker, ${share(bothWays)} of what both publish bare at once; ${share(oneWay)} of one that publishes bare`,
      );
    }
  } finally {
    await server.stop();
  }
}

/** Each number of ranks twice: training together, and side by side with nothing exchanged, which is what the machine can do at most. */
async function measureScaling(sizes: readonly number[], steps: number): Promise<void> {
  const rows: string[][] = [];
  for (const kind of ['digits', 'mobilenet'] as const) {
    const perSecond = async (size: number, isAlone: boolean): Promise<number> => {
      const task: Task = { kind, steps: kind === 'digits' ? 10 * steps : steps, isAlone };
      const seconds = await ranks<number>(size, task);
      return seconds.reduce((sum, each) => sum + BATCH[kind] / each, 0);
    };
    const name = kind === 'digits' ? 'digits CNN' : 'MobileNetV2 96², tfjs wasm';
    const one = await perSecond(1, false);
    rows.push([name, '1', one.toFixed(2), '', '', '']);
    for (const size of sizes.filter((each) => each > 1)) {
      const [apart, together] = [await perSecond(size, true), await perSecond(size, false)];
      const [most, reached] = [apart / one, together / one];
      const share = `${((100 * together) / apart).toFixed(0)} %`;
      rows.push([name, String(size), together.toFixed(2), `${reached.toFixed(2)}×`, `${most.toFixed(2)}×`, share]);
    }
  }
  const heads = ['', 'ranks', 'samples/s', 'of one rank', 'side by side, of one', 'share of that'];
  console.log(table('Training with DistributedDataParallel', heads, rows));
}

interface Options {
  readonly only?: 'collectives' | 'scaling';
  readonly ranks: readonly number[];
  readonly steps: number;
}

if (isMainThread) {
  const numbers = (text: string): number[] => text.split(',').map(Number);
  const options = new Command('npm run bench:distributed --')
    .description('Measures collectives and the scaling of training over ranks.')
    .option('--only <part>', 'collectives or scaling')
    .option('--ranks <numbers>', 'of the collectives, separated by commas', numbers, [2, 4])
    .option('--steps <number>', 'of MobileNetV2; ten times as many of the digits', Number, 12)
    .allowExcessArguments(false)
    .parse()
    .opts<Options>();
  console.log(Object.values(describeMachine()).join(' · '));
  if (options.only !== 'scaling') await measureCollectives(options.ranks);
  if (options.only !== 'collectives') {
    const cores = availableParallelism();
    const [sizes, others] = [SCALING.filter((size) => size <= cores), SCALING.filter((size) => size > cores)];
    await measureScaling(sizes, options.steps);
    if (others.length > 0) console.log(`not run: ${others.join(' and ')} ranks, as there are ${cores} cores`);
  }
}

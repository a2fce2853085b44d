/** `npm run bench:parallel`: see `../README.md`. With `--serve` this program is one of its own child processes. */

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { CommanderError } from 'commander';
import { checkAgreement } from '../agreement.ts';
import { type NamedContender, parallelContenders } from '../contenders.ts';
import { EnginePool } from '../engine_pool.ts';
import { describeMachine } from '../machine.ts';
import { type Budget, type Failure, type Measurement, measureWorkload } from '../measure.ts';
import { openEngine } from '../open_engine.ts';
import { verdictTable } from '../report.ts';
import { serve } from '../serve.ts';
import { network, type Workload, workloads } from '../workloads.ts';
import { judgeParallel } from './figures.ts';
import { measureMeetings } from './meeting.ts';
import { type ParallelOptions, readParallelOptions } from './options.ts';
import {
  meetingTable,
  type ParallelResults,
  scatterGatherLine,
  stepTable,
  type TrafficCount,
  WORKER_COUNTS,
} from './report.ts';
import { measureScatterGather } from './scatter_gather.ts';

/** Per contender and workload. Workers are new for each workload, and compile what runs there for some ten steps of ResNet-50. */
const FULL: Budget = { warmUpSeconds: 4, seconds: 3, minimumSamples: 10, maximumSamples: 40, sampleSeconds: 0.1 };
const QUICK: Budget = { warmUpSeconds: 0.3, seconds: 0.2, minimumSamples: 2, maximumSamples: 20, sampleSeconds: 0.1 };

const SHAPES = ['8x64x128x128', '32x256x14x14', '16x2048x7x7'];

/**
 * Contenders that are measured in turns, each with its tensors in place: the network of all at once would not fit into memory.
 * Between two numbers of workers the first one is the common measure.
 */
const NETWORK_GROUPS: readonly (readonly string[])[] = [
  ['synchronized-1', 'synchronized-2', 'unsynchronized-2', 'pytorch-2'],
  ['synchronized-4', 'unsynchronized-4'],
  ['synchronized-8', 'unsynchronized-8'],
];

try {
  const options = readParallelOptions(process.argv.slice(2), process.env);
  if (options.isServing) await serve(await openEngine('workers'));
  else process.exitCode = await runBenchmark(options);
} catch (error) {
  // Commander has printed its message already.
  if (!(error instanceof CommanderError)) console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof CommanderError ? error.exitCode : 1;
}

/** @returns the exit code: 1 where a figure that is checked is missed, or an engine has failed. */
async function runBenchmark(options: ParallelOptions): Promise<number> {
  if (options.torchPython === null) console.error('PyTorch takes no part: TORCH_PYTHON names no Python.');
  const loadBefore = loadavg()[0] ?? 0;
  const { steps, traffic, failures, engines } = await measureSteps(options);
  const meetings = await measureMeetings(WORKER_COUNTS, options.isQuick ? 200 : 2000);
  const scatterGather = await measureScatterGather(options.isQuick ? 10 : 50);
  const verdicts = judgeParallel({ steps, meetings, scatterGather });
  const results: ParallelResults = {
    date: new Date().toISOString(),
    machine: { ...describeMachine(), load: `load ${loadBefore.toFixed(1)} before` },
    engines,
    isQuick: options.isQuick,
    steps,
    traffic,
    meetings,
    scatterGather,
    failures,
    verdicts,
  };
  writeFileSync(options.jsonFile, `${JSON.stringify(results, null, 1)}\n`);
  console.log(`${stepTable(steps, traffic)}\n\n${meetingTable(meetings)}\n\n${scatterGatherLine(scatterGather)}\n`);
  if (options.isChecking) console.log(`${verdictTable(verdicts)}\n`);
  console.log(Object.values(engines).join(' · '));
  console.log(Object.values(results.machine).join(' · '));
  for (const { workload, engine, reason } of failures) console.log(`failed: ${engine} on ${workload}: ${reason}`);
  const isMissed = options.isChecking && verdicts.some(({ missed }) => missed.length > 0);
  return isMissed || failures.length > 0 ? 1 : 0;
}

interface Steps {
  readonly steps: readonly Measurement[];
  readonly traffic: readonly TrafficCount[];
  readonly failures: readonly Failure[];
  readonly engines: Readonly<Record<string, string>>;
}

async function measureSteps({ torchPython, isQuick }: ParallelOptions): Promise<Steps> {
  const pool = new EnginePool(torchPython);
  const contenders: readonly NamedContender[] = parallelContenders.filter(
    ({ engine }) => torchPython !== null || engine !== 'pytorch',
  );
  const steps: Measurement[] = [];
  const traffic: TrafficCount[] = [];
  const failures: Failure[] = [];
  const measure = async (workload: Workload, taking: readonly NamedContender[]) => {
    const found = await measureWorkload(
      workload,
      taking,
      pool,
      isQuick ? QUICK : FULL,
      async ({ name, engine, variant }) => {
        const count = await (await pool.get(engine)).ask({ command: 'traffic', variant });
        if (count !== null) traffic.push({ workload: workload.name, contender: name, ...count });
      },
    );
    steps.push(...found.measurements);
    failures.push(...found.failures);
  };
  try {
    // Replicas that do not synchronize compute something else.
    await checkAgreement(
      contenders.filter(({ name }) => !name.startsWith('unsynchronized')),
      pool,
    );
    for (const workload of workloads.filter(({ name }) => SHAPES.includes(name))) await measure(workload, contenders);
    for (const names of isQuick ? [] : NETWORK_GROUPS) {
      await measure(
        network(16),
        contenders.filter(({ name }) => names.includes(name)),
      );
    }
    return { steps, traffic, failures, engines: pool.versions };
  } finally {
    pool.stop();
  }
}

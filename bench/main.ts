/** `npm run bench`: see README.md. With `--serve` this program is one of its own child processes. */

import { writeFileSync } from 'node:fs';
import { checkAgreement } from './agreement.ts';
import { EnginePool } from './engine_pool.ts';
import { judgeLimit, judgeSpeed, secondsOf, type Verdict } from './figures.ts';
import { describeMachine } from './machine.ts';
import { type Budget, type Failure, type Measurement, measureWorkload } from './measure.ts';
import type { MemoryUse } from './memory.ts';
import { CommanderError, type Options, readOptions } from './options.ts';
import { type Results, sizeLines, timeTables, verdictTable } from './report.ts';

/** Per contender and workload. */
const FULL: Budget = { warmUpSeconds: 0.3, seconds: 1.2, minimumSamples: 3, maximumSamples: 40, sampleSeconds: 0.005 };
const QUICK: Budget = {
  warmUpSeconds: 0.05,
  seconds: 0.1,
  minimumSamples: 1,
  maximumSamples: 10,
  sampleSeconds: 0.005,
};

/** Per build, contender and workload, in each launch. */
const COMPARISON: Budget = { ...FULL, warmUpSeconds: 0.5, seconds: 1.5, minimumSamples: 15, maximumSamples: 150 };
const QUICK_COMPARISON: Budget = { ...COMPARISON, warmUpSeconds: 0.2, seconds: 0.4, minimumSamples: 7 };

const MEBIBYTE = 2 ** 20;

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options.serve !== null) await serveEngine(options.serve);
  process.exitCode = await (options.against === null ? runBenchmark(options) : runComparison(options, options.against));
} catch (error) {
  // Commander has printed its message already.
  if (!(error instanceof CommanderError)) console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof CommanderError ? error.exitCode : 1;
}

/** Answers the parent until it closes the pipe. */
async function serveEngine(name: NonNullable<Options['serve']>): Promise<never> {
  const { openEngine } = await import('./open_engine.ts');
  const { serve } = await import('./serve.ts');
  await serve(await openEngine(name));
  process.exit();
}

/** @returns the exit code: 1 where a row is slower, or an engine has failed. */
async function runComparison(options: Options, against: string): Promise<number> {
  const { compareBuilds, comparisonTable, verdictOn } = await import('./compare.ts');
  const { findOtherBuild } = await import('./other_build.ts');
  const other = findOtherBuild(against);
  const own = options.contenders.filter(({ engine }) => engine === 'syncbn' || engine === 'kernels');
  const budget = options.isQuick ? QUICK_COMPARISON : COMPARISON;
  const { rows, failures } = await compareBuilds(options.workloads, own, other, options.launches, budget);
  writeFileSync(options.jsonFile, `${JSON.stringify({ other, rows, failures }, null, 1)}\n`);
  console.log(comparisonTable(rows, other));
  for (const { workload, engine, reason } of failures) console.log(`failed: ${engine} on ${workload}: ${reason}`);
  return failures.length > 0 || rows.some((row) => verdictOn(row) === 'slower') ? 1 : 0;
}

/** @returns the exit code: 1 where a figure that is checked is missed, or an engine has failed. */
async function runBenchmark(options: Options): Promise<number> {
  if (options.torchPython === null) console.error('PyTorch takes no part: TORCH_PYTHON names no Python.');
  const { measurements, failures, engines } = await measureAll(options);
  const memory = await (await import('./memory.ts')).measureMemory();
  const packageBytes = await (await import('./package_size.ts')).packageGzipBytes();
  const verdicts = judge(options, measurements, memory, packageBytes);
  const results: Results = {
    date: new Date().toISOString(),
    machine: describeMachine(),
    engines,
    isQuick: options.isQuick,
    measurements,
    failures,
    memory,
    packageGzipBytes: packageBytes,
    verdicts,
  };
  writeFileSync(options.jsonFile, `${JSON.stringify(results, null, 1)}\n`);
  console.log(`${timeTables(options.workloads, options.contenders, measurements)}\n`);
  console.log(`${sizeLines(memory, packageBytes)}\n`);
  if (options.isChecking) console.log(`${verdictTable(verdicts)}\n`);
  console.log(Object.values(engines).join(' · '));
  console.log(Object.values(results.machine).join(' · '));
  for (const { workload, engine, reason } of failures) console.log(`failed: ${engine} on ${workload}: ${reason}`);
  const isMissed = options.isChecking && verdicts.some(({ missed }) => missed.length > 0);
  return isMissed || failures.length > 0 ? 1 : 0;
}

async function measureAll(options: Options): Promise<Pick<Results, 'measurements' | 'failures' | 'engines'>> {
  const engines = new EnginePool(options.torchPython);
  const measurements: Measurement[] = [];
  const failures: Failure[] = [];
  try {
    await checkAgreement(options.contenders, engines);
    for (const [i, workload] of options.workloads.entries()) {
      const start = performance.now();
      const found = await measureWorkload(workload, options.contenders, engines, options.isQuick ? QUICK : FULL);
      measurements.push(...found.measurements);
      failures.push(...found.failures);
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.error(`[${i + 1}/${options.workloads.length}] ${workload.name}: ${seconds} s`);
    }
    return { measurements, failures, engines: engines.versions };
  } finally {
    engines.stop();
  }
}

function judge(
  { workloads }: Options,
  measurements: readonly Measurement[],
  memory: MemoryUse,
  packageBytes: number,
): Verdict[] {
  const small = secondsOf(measurements, '4x16x8x8', 'step', 'syncbn');
  return [
    ...judgeSpeed(workloads, measurements),
    judgeLimit('(4,16,8,8), forward + backward through the public API', 'µs', 50, small === null ? null : small * 1e6),
    judgeLimit('memory of a step beside x, y, dy and dx', 'MiB', 1, memory.overheadBytes / MEBIBYTE),
    judgeLimit('memory of a step in place beside x, y and dy', 'MiB', 1, memory.overheadInPlaceBytes / MEBIBYTE),
    judgeLimit('growth of memory over 1,000 steps', 'bytes', 0, memory.growthBytes),
    judgeLimit("package in a user's bundle, gzip", 'KB', 80, packageBytes / 1000),
  ];
}

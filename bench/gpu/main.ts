/** `npm run bench:gpu`: see `../README.md`. With `--serve` this program is one of its own child processes. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { launchOptions } from '../../scripts/browser.mjs';
import { softwareGpu } from '../../scripts/software_gpu.mjs';
import { checkAgreement } from '../agreement.ts';
import type { EngineName, GpuEngineName, GpuFramework, GpuPlatform, NamedContender } from '../contenders.ts';
import { EnginePool } from '../engine_pool.ts';
import { EngineProcess } from '../engine_process.ts';
import { describeMachine } from '../machine.ts';
import { type Budget, type Failure, type Measurement, measureWorkload } from '../measure.ts';
import { timeTables, verdictTable } from '../report.ts';
import { packageVersion } from '../repository.ts';
import { elementsOf, type Workload } from '../workloads.ts';
import { type AdapterChoice, browserArguments } from './adapter.ts';
import type { AdapterDescription } from './describe_adapter.ts';
import { judgeGpu, type WorkCount } from './figures.ts';
import type { Versions } from './open_gpu_engine.ts';
import { type GpuOptions, readGpuOptions, REPLICA_SHAPES, split } from './options.ts';
import { Pages } from './pages.ts';
import { bandwidthTable, csv, type GpuResults, workTable } from './report.ts';

/** Per contender and workload. A software adapter needs seconds for a step of a peer. */
const FULL: Budget = { warmUpSeconds: 0.1, seconds: 0.5, minimumSamples: 2, maximumSamples: 30, sampleSeconds: 0.005 };
const QUICK: Budget = {
  warmUpSeconds: 0.02,
  seconds: 0.15,
  minimumSamples: 1,
  maximumSamples: 10,
  sampleSeconds: 0.005,
};

const versions: Versions = {
  syncbn: packageVersion(),
  jaxJs: packageVersion('node_modules/@jax-js/jax'),
};

try {
  const options = readGpuOptions(process.argv.slice(2));
  if (options.serve === null) process.exitCode = await runBenchmark(options);
  else await serveNode(options.serve);
} catch (error) {
  // Commander has printed its message already.
  if (!(error instanceof CommanderError)) console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof CommanderError ? error.exitCode : 1;
}

/** Answers the parent until it closes the pipe, or tells the adapter. */
async function serveNode(name: NonNullable<GpuOptions['serve']>): Promise<never> {
  await (await import('./node_platform.ts')).provideWebGpu();
  if (name === 'adapter') {
    const { describeAdapter } = await import('./describe_adapter.ts');
    console.log(JSON.stringify(await describeAdapter(navigator.gpu)));
  } else {
    const { openGpuEngine } = await import('./open_gpu_engine.ts');
    const { serve } = await import('../serve.ts');
    await serve(await openGpuEngine(frameworkOf(name), versions));
  }
  // The platform's threads would keep the process.
  process.exit();
}

/** @returns the exit code: 1 where a figure that is checked is missed, or an engine has failed. */
async function runBenchmark(options: GpuOptions): Promise<number> {
  const { workloads, contenders } = options;
  const platforms = [...new Set(contenders.map(({ name }) => split(name)[0]))];
  const node = chooseNodeAdapter(options.adapter);
  const adapters: Partial<Record<GpuPlatform, AdapterDescription>> = { node };
  let pages: Pages | null = null;
  try {
    if (platforms.includes('chromium')) {
      const { executablePath, args } = launchOptions();
      pages = await Pages.launch(executablePath, browserArguments(args, node.isSoftware));
      const adapter = await pages.describeAdapter();
      if (adapter === null)
        throw new Error(`${pages.version} has no WebGPU adapter; CHROME_PATH names another browser`);
      adapters.chromium = adapter;
    }
    for (const platform of platforms) console.error(`${platform}: ${adapters[platform]?.name ?? ''}`);
    const found = await measureAll(options, pages);
    const verdicts = platforms.flatMap((platform) => judgeGpu(platform, workloads, found));
    const results: GpuResults = {
      date: new Date().toISOString(),
      machine: describeMachine(),
      adapters,
      isQuick: options.isQuick,
      ...found,
      verdicts,
    };
    writeFileSync(options.jsonFile, `${JSON.stringify(results, null, 1)}\n`);
    if (options.csvFile !== null) writeFileSync(options.csvFile, csv(workloads, contenders, found));
    print(options, results);
    const isMissed = options.isChecking && verdicts.some(({ missed }) => missed.length > 0);
    return isMissed || found.failures.length > 0 ? 1 : 0;
  } finally {
    await pages?.close();
  }
}

function print({ workloads, contenders, isChecking }: GpuOptions, results: GpuResults): void {
  for (const platform of new Set(contenders.map(({ name }) => split(name)[0]))) {
    const those = contenders.filter(({ name }) => split(name)[0] === platform);
    console.log(`${platform}, ${results.adapters[platform]?.name ?? ''}`);
    console.log(`${timeTables(workloads, those, results.measurements)}\n`);
  }
  console.log(`${workTable(workloads, results.work)}\n\n${bandwidthTable(workloads, results)}\n`);
  if (isChecking) console.log(`${verdictTable(results.verdicts)}\n`);
  console.log(Object.values(results.engines).join(' · '));
  console.log(Object.values(results.machine).join(' · '));
  const names = new Set(Object.values(results.adapters).map(({ name }) => name));
  if (names.size > 1) console.log(`Node and Chromium name their adapters differently: ${[...names].join('; ')}`);
  for (const { workload, engine, reason } of results.failures) {
    console.log(`failed: ${engine} on ${workload}: ${reason}`);
  }
  for (const { name, maximumElements = Infinity } of contenders) {
    const left = workloads.filter((workload) => elementsOf(workload) > maximumElements);
    if (left.length > 0)
      console.log(`left out: ${name} on ${left.map((workload) => workload.name).join(', ')}: too slow`);
  }
}

type Found = Pick<GpuResults, 'measurements' | 'work' | 'failures' | 'engines'>;

async function measureAll({ workloads, contenders, isQuick }: GpuOptions, pages: Pages | null): Promise<Found> {
  const engines = new EnginePool(null, (engine) => startEngine(engine, pages));
  const measurements: Measurement[] = [];
  const work: WorkCount[] = [];
  const failures: Failure[] = [];
  try {
    const able: NamedContender[] = [];
    for (const contender of contenders) {
      try {
        // Replicas apart compute something else, and a round trip nothing.
        if (!/apart|round-trip/.test(contender.name)) await checkAgreement([contender], engines);
        able.push(contender);
      } catch (error) {
        failures.push({ workload: 'check', engine: contender.engine, reason: textOf(error) });
        engines.discard(contender.engine);
      }
    }
    for (const [i, workload] of workloads.entries()) {
      const start = performance.now();
      const found = await measureWorkload(
        workload,
        able.filter(({ engine }) => takesPart(engine, workload)),
        engines,
        isQuick ? QUICK : FULL,
        async ({ name, engine, variant }) => {
          const count = await (await engines.get(engine)).ask({ command: 'work', variant });
          if (count !== null) work.push({ workload: workload.name, contender: name, ...count });
        },
      );
      measurements.push(...found.measurements);
      failures.push(...found.failures);
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.error(`[${i + 1}/${workloads.length}] ${workload.name}: ${seconds} s`);
    }
    return { measurements, work, failures, engines: engines.versions };
  } finally {
    engines.stop();
  }
}

function takesPart(engine: EngineName, workload: Workload): boolean {
  return !engine.endsWith('/replicas') || REPLICA_SHAPES.includes(workload.name);
}

function startEngine(engine: EngineName, pages: Pages | null) {
  if (!engine.startsWith('chromium/')) return EngineProcess.start(engine, null);
  if (pages === null) throw new Error(`${engine} needs a browser`);
  return pages.open(frameworkOf(engine as GpuEngineName), versions);
}

/**
 * Node's adapter, which the child processes get as well.
 * @throws Error where there is none of that kind.
 */
function chooseNodeAdapter(choice: AdapterChoice): AdapterDescription {
  const found = choice === 'software' ? null : nodeAdapter();
  if (found?.isSoftware === false) return found;
  if (choice === 'hardware') throw new Error(`there is no hardware adapter; Node has ${found?.name ?? 'none'}`);
  Object.assign(process.env, softwareGpu());
  const software = nodeAdapter();
  if (software === null)
    throw new Error('Node has no WebGPU adapter: no driver for a GPU, and no browser with SwiftShader');
  return software;
}

function nodeAdapter(): AdapterDescription | null {
  const parameters = [process.argv[1] ?? '', '--serve', 'adapter'];
  const { stdout, stderr, status } = spawnSync(process.execPath, parameters, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Node's WebGPU does not start: ${stderr.trim()}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? 'null') as AdapterDescription | null;
}

function frameworkOf(engine: GpuEngineName): GpuFramework {
  return engine.slice(engine.indexOf('/') + 1) as GpuFramework;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

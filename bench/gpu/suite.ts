/** `npm run bench:gpu`: WebGPU in Node and in Chromium, beside jax-js, TensorFlow.js and a copy kernel. */

import { spawnSync } from 'node:child_process';
import { launchOptions } from '../../scripts/browser.mjs';
import { softwareGpu } from '../../scripts/software_gpu.mjs';
import { gpuPlatforms, type GpuPlatform } from '../contenders.ts';
import { startNodeEngine } from '../engine_process.ts';
import { atLeast, atMost, type Case, type Figure, ratio, secondsOf } from '../figures.ts';
import type { Findings, Measurement } from '../measure.ts';
import type { Options } from '../options.ts';
import { cell, percent, table, timeTables } from '../report.ts';
import { runSuite } from '../run.ts';
import type { Workload } from '../workloads.ts';
import type { AdapterDescription } from './gpu_engine.ts';
import type { Pages } from './pages.ts';

/** The largest layer: what figures of bytes, and of TensorFlow.js, are about. */
const LAYER = '8x64x128x128';

const BYTES_PER_VALUE = 4;

/** @returns the exit code: see {@link runSuite}. */
export async function runGpu(options: Options): Promise<number> {
  const { workloads, contenders } = options;
  const platforms = gpuPlatforms.filter((platform) => contenders.some(({ name }) => name.startsWith(`${platform}/`)));
  const node = chooseNodeAdapter(options.adapter);
  const adapters: Partial<Record<GpuPlatform, AdapterDescription>> = { node };
  let pages: Pages | null = null;
  try {
    if (platforms.includes('chromium')) {
      const { browserArguments, Pages: Browser } = await import('./pages.ts');
      const { executablePath, args } = launchOptions();
      pages = await Browser.launch(executablePath, browserArguments(args, node.isSoftware));
      adapters.chromium = await pages.describeAdapter();
    }
    for (const platform of platforms) console.error(`${platform}: ${adapters[platform]?.name ?? ''}`);
    return await runSuite(options, {
      start: (engine) => {
        if (engine.startsWith('node/')) return startNodeEngine(engine);
        if (pages === null) throw new Error(`${engine} needs a browser`);
        return pages.open(engine.slice(engine.indexOf('/') + 1));
      },
      measureExtras: () => Promise.resolve({ adapters }),
      figures: (found) => platforms.flatMap((platform) => gpuFigures(platform, workloads, found)),
      report: (found) => [
        ...platforms.map((platform) => {
          const those = contenders.filter(({ name }) => name.startsWith(`${platform}/`));
          return `${platform}, ${adapters[platform]?.name ?? ''}\n${timeTables(workloads, those, found.measurements)}`;
        }),
        workTable(workloads, found),
        bandwidthTable(platforms, workloads, found),
      ],
    });
  } finally {
    await pages?.close();
  }
}

/**
 * Node's adapter, which the child processes get as well.
 * @throws Error where there is none of that kind.
 */
function chooseNodeAdapter(choice: Options['adapter']): AdapterDescription {
  const found = choice === 'software' ? null : nodeAdapter();
  if (found?.isSoftware === false) return found;
  if (choice === 'hardware') throw new Error(`there is no hardware adapter; Node has ${found?.name ?? 'none'}`);
  Object.assign(process.env, softwareGpu());
  const software = nodeAdapter();
  if (software === null)
    throw new Error('Node has no WebGPU adapter: no driver for a GPU, and no browser with SwiftShader');
  return software;
}

/** Asked for in a process of its own: a driver is chosen once per process. */
function nodeAdapter(): AdapterDescription | null {
  const parameters = [process.argv[1] ?? '', 'adapter'];
  const { stdout, stderr, status } = spawnSync(process.execPath, parameters, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Node's WebGPU does not start: ${stderr.trim()}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? 'null') as AdapterDescription | null;
}

/** The figures of one platform. */
export function gpuFigures(
  platform: GpuPlatform,
  workloads: readonly Workload[],
  { measurements, counts }: Pick<Findings, 'measurements' | 'counts'>,
): Figure[] {
  const own = counts.filter(({ contender }) => contender === `${platform}/syncbn`);
  const both = (name: string, workload: string): number | null => {
    const found = own.find((one) => one.workload === workload);
    return found === undefined ? null : (found.forward?.[name] ?? 0) + (found.backward?.[name] ?? 0);
  };
  const worstOf = (names: readonly string[]): Case[] =>
    own.map(({ workload }) => ({
      label: workload,
      value: names.reduce((sum, name) => sum + (both(name, workload) ?? 0), 0),
    }));
  const compare = (above: string, below: string, pass: 'forward' | 'step', isMeant: (one: Workload) => boolean) =>
    workloads.filter(isMeant).map(({ name }) => ({
      label: name,
      value: ratio(measurements, name, pass, `${platform}/${above}`, `${platform}/${below}`),
    }));
  const isLayer = ({ name }: Workload) => name === LAYER;
  const values = workloads.find(isLayer)?.values;
  const moved = both('bytesMoved', LAYER);
  const bytes = values === undefined || moved === null ? null : moved / (values * BYTES_PER_VALUE);
  const figures = [
    atMost('bytes read and written by a training step, (8,64,128,128)', 8.2, 'B', bytes),
    atMost('dispatches of a training step', 6, 'dispatches', both('dispatches', LAYER)),
    atLeast(
      'forward + backward against jax-js, every shape',
      5,
      compare('jax-js', 'syncbn', 'step', () => true),
    ),
    atLeast('forward + backward against tfjs, (8,64,128,128)', 50, compare('tfjs', 'syncbn', 'step', isLayer)),
    atLeast(
      'moments against the copy kernel, bytes read per second',
      0.6,
      // A small tensor is all overhead.
      compare('copy', 'moments', 'forward', ({ family }) => family !== 'network' && family !== 'small'),
    ),
    ...(['forward', 'backward'] as const).map((pass) =>
      atMost(
        `meeting of 2 devices, ${pass}: time over the devices' own work, per layer`,
        2,
        'round trips',
        workloads
          .map((workload) => ({ label: workload.name, value: roundTrips(measurements, platform, workload, pass) }))
          .filter(({ value }) => value !== null),
      ),
    ),
    atMost('new buffers and pipelines of a step in the steady state', 0, 'new', worstOf(['buffers', 'pipelines'])),
  ];
  return figures.map((figure) => ({ ...figure, text: `${platform}: ${figure.text}` }));
}

/** What synchronization adds to a pass of one layer, in round trips of `mapAsync`. Less than nothing is noise. */
function roundTrips(
  measurements: readonly Measurement[],
  platform: GpuPlatform,
  { name, layers }: Workload,
  pass: 'forward' | 'backward',
): number | null {
  const of = (contender: string, on: 'forward' | 'backward') =>
    secondsOf(measurements, name, on, `${platform}/${contender}`);
  const [synchronized, apart, trip] = [of('synchronized', pass), of('apart', pass), of('round-trip', 'forward')];
  if (synchronized === null || apart === null || trip === null) return null;
  return Math.max(0, (synchronized - apart) / layers.length / trip);
}

/** What one step asks of the GPU, per workload and contender. B is the size of the input. */
function workTable(workloads: readonly Workload[], { counts }: Findings): string {
  const rows = workloads.flatMap(({ name, values }) =>
    counts
      .filter(({ workload }) => workload === name)
      .map(({ contender, forward = {}, backward = {} }) => {
        const amounts = (key: string, unit = 1, digits = 0) =>
          [forward, backward].map((pass) => cell((pass[key] ?? Number.NaN) / unit, digits)).join(' / ');
        const size = values * BYTES_PER_VALUE;
        const plain = ['dispatches', 'submits', 'buffers', 'maps'].map((key) => amounts(key));
        const moved = forward['bytesMoved'] === undefined ? '-' : amounts('bytesMoved', size, 2);
        return [name, contender, ...plain, amounts('bytesBound', size, 2), moved];
      }),
  );
  const title =
    'Forward / backward in the steady state, as the platform sees them (of jax-js and tfjs: forward / whole step); B: bytes of x; ' +
    'bound: of buffers bound to kernels; moved: as the library counts';
  return table(title, ['', '', 'dispatches', 'submits', 'new buffers', 'maps', 'bound, B', 'moved, B'], rows);
}

/** Bytes per second as part of what the copy kernel reaches in the same run, and what a meeting adds. */
function bandwidthTable(
  platforms: readonly GpuPlatform[],
  workloads: readonly Workload[],
  { measurements, counts }: Findings,
): string {
  const rows = platforms.flatMap((platform) =>
    workloads.flatMap((workload) => {
      const { name, values } = workload;
      const copied = 2 * values * BYTES_PER_VALUE;
      const seconds = secondsOf(measurements, name, 'forward', `${platform}/copy`);
      if (seconds === null) return [];
      const own = counts.find((one) => one.workload === name && one.contender === `${platform}/syncbn`);
      const share = (pass: 'forward' | 'backward') => {
        const time = ratio(measurements, name, pass, `${platform}/copy`, `${platform}/syncbn`);
        const bytes = own?.[pass]?.['bytesMoved'];
        return time === null || bytes === undefined ? '-' : percent((time * bytes) / copied);
      };
      const moments = ratio(measurements, name, 'forward', `${platform}/copy`, `${platform}/moments`);
      const meeting = (pass: 'forward' | 'backward') => cell(roundTrips(measurements, platform, workload, pass), 2);
      const shares = [share('forward'), share('backward'), moments === null ? '-' : percent(moments)];
      return [[platform, name, cell(copied / seconds / 1e9, 2), ...shares, meeting('forward'), meeting('backward')]];
    }),
  );
  const title =
    "Bytes per second against the copy kernel's of the same run; of moments: bytes read. Meeting of 2 devices: round trips of " +
    "mapAsync over the devices' own work, per layer";
  return table(title, ['', '', 'copy, GB/s', 'forward', 'backward', 'moments', 'meeting forward', 'backward'], rows);
}

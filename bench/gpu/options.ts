/** The command line of `npm run bench:gpu`. */

import { Command, InvalidArgumentError, Option } from 'commander';
import {
  type ContenderName,
  type GpuEngineName,
  gpuContendersOf,
  gpuFrameworks,
  type GpuPlatform,
  gpuPlatforms,
  type NamedContender,
} from '../contenders.ts';
import { namesOf, pick } from '../options.ts';
import { repositoryFile } from '../repository.ts';
import { type Workload, workloads } from '../workloads.ts';
import { type AdapterChoice, adapterChoices } from './adapter.ts';

const LAST_RUN = 'bench/last_gpu_run.json';

/** Takes every process and page together more memory than most machines have. */
const TOO_LARGE = 'resnet50:8';

/** What `--quick` measures: a small and a large layer, and both formats. */
const QUICK_SHAPES = ['4x16x8x8', '8x64x128x128', '4x3x256x256', '4x3x256x256:channels_last'];

/**
 * What two devices are measured on: their network takes layers of rank 4. A meeting is a small part of a large layer, and lost in
 * its noise; the small one shows it.
 */
export const REPLICA_SHAPES: readonly string[] = ['4x16x8x8', '8x64x128x128', '32x256x14x14', '16x2048x7x7'];

export interface GpuOptions {
  readonly workloads: readonly Workload[];
  readonly contenders: readonly NamedContender[];
  readonly adapter: AdapterChoice;
  readonly isQuick: boolean;
  /** Whether to judge the figures to reach. */
  readonly isChecking: boolean;
  readonly jsonFile: string;
  /** `null`: none is written. */
  readonly csvFile: string | null;
  /** The engine to serve as a child process, or `adapter` to tell Node's; instead of all else. */
  readonly serve: GpuEngineName | 'adapter' | null;
}

/**
 * @param parameters - what follows the program's name.
 * @throws CommanderError with the text for the user, and the exit code: 0 where help was asked for.
 */
export function readGpuOptions(parameters: readonly string[]): GpuOptions {
  const contenders: readonly NamedContender[] = gpuPlatforms.flatMap((platform) => gpuContendersOf(platform));
  const served = gpuFrameworks.map((framework) => `node/${framework}`);
  const platformNames = gpuPlatforms.map((name) => ({ name }));
  const program = new Command('npm run bench:gpu --')
    .description('Compares syncbn on WebGPU with jax-js, TensorFlow.js and a copy kernel. See bench/README.md.')
    .option('--quick', 'shorter measurements of fewer workloads', false)
    .option('--check', 'judge each figure to reach: exit code 1 when one is missed', false)
    .addOption(new Option('--json <file>', 'where the results go').default(repositoryFile(LAST_RUN), LAST_RUN))
    .option('--csv <file>', 'where a table of times and counts goes')
    .addOption(
      new Option('--adapter <kind>', 'auto: hardware where there is some').choices(adapterChoices).default('auto'),
    )
    .addOption(
      new Option('--platforms <names>', `comma-separated, of: ${gpuPlatforms.join(', ')}`)
        .argParser((text) => pick(text, platformNames).map(({ name }) => name))
        .default(gpuPlatforms, 'all'),
    )
    .addOption(
      new Option('--shapes <names>', `comma-separated, of: ${namesOf(workloads)}`).argParser((text) =>
        pick(text, workloads),
      ),
    )
    .addOption(
      new Option('--contenders <names>', `comma-separated, of: ${shortNames().join(', ')}`).argParser(readShortNames),
    )
    .addOption(new Option('--serve <engine>').choices([...served, 'adapter']).hideHelp())
    .addHelpText('after', '\nCHROME_PATH names the browser; without it, one that is installed is taken.')
    .allowExcessArguments(false)
    .exitOverride();
  program.parse(parameters, { from: 'user' });
  const given = program.opts<GivenOptions>();
  const isTaken = ({ name }: NamedContender) => {
    const [platform, short = ''] = split(name);
    return given.platforms.includes(platform) && (given.contenders?.has(short) ?? true);
  };
  return {
    workloads: given.shapes ?? defaultWorkloads(given.quick),
    contenders: contenders.filter(isTaken),
    adapter: given.adapter,
    isQuick: given.quick,
    isChecking: given.check,
    jsonFile: given.json,
    csvFile: given.csv ?? null,
    serve: given.serve ?? null,
  };
}

interface GivenOptions {
  readonly quick: boolean;
  readonly check: boolean;
  readonly json: string;
  readonly csv?: string;
  readonly adapter: AdapterChoice;
  readonly platforms: readonly GpuPlatform[];
  readonly shapes?: readonly Workload[];
  readonly contenders?: ReadonlySet<string>;
  readonly serve?: GpuEngineName | 'adapter';
}

function defaultWorkloads(isQuick: boolean): readonly Workload[] {
  return workloads.filter(({ name }) => (isQuick ? QUICK_SHAPES.includes(name) : name !== TOO_LARGE));
}

/** Platform and contender. */
export function split(name: ContenderName): [platform: GpuPlatform, short: string | undefined] {
  return name.split('/') as [GpuPlatform, string | undefined];
}

function shortNames(): string[] {
  return gpuContendersOf('node').map(({ name }) => split(name)[1] ?? '');
}

function readShortNames(text: string): ReadonlySet<string> {
  const known = shortNames();
  const wanted = text.split(',').map((name) => name.trim());
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new InvalidArgumentError(`expected names of ${known.join(', ')}; got ${unknown.join(', ') || 'none'}`);
  }
  return new Set(wanted);
}

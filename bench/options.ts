/** The command line. */

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type Contender, cpuContenders, gpuContenders, gpuPlatforms, parallelContenders } from './contenders.ts';
import type { Budget } from './measure.ts';
import { repositoryFile } from './repository.ts';
import { type Workload, workloads } from './workloads.ts';

export { CommanderError };

export const suiteNames = ['cpu', 'parallel', 'gpu'] as const;
export type SuiteName = (typeof suiteNames)[number];

export interface Options {
  readonly suite: SuiteName;
  readonly workloads: readonly Workload[];
  readonly contenders: readonly Contender[];
  readonly budget: Budget;
  readonly isQuick: boolean;
  /** Whether to judge the figures to reach. */
  readonly isChecking: boolean;
  readonly jsonFile: string;
  /** A Python that can import torch; `null`: PyTorch takes no part. */
  readonly torchPython: string | null;
  /** The build to compare with, as a commit or a folder; instead of all else. */
  readonly against: string | null;
  /** How often a comparison starts both builds anew. */
  readonly launches: number;
  /** `auto`: hardware where there is some. */
  readonly adapter: 'auto' | 'hardware' | 'software';
}

/** What a suite measures unless it is told otherwise. */
interface Suite {
  readonly script: string;
  readonly description: string;
  readonly contenders: readonly Contender[];
  readonly shapes: readonly Workload[];
  /** Of `shapes`, those of a quick run. */
  readonly isQuick: (workload: Workload) => boolean;
  readonly full: Budget;
  readonly quick: Budget;
}

const named = (...names: string[]) => workloads.filter(({ name }) => names.includes(name));
const short = ({ isLong }: Workload) => isLong !== true;

export const suites: Readonly<Record<SuiteName, Suite>> = {
  cpu: {
    script: 'bench',
    description: 'Compares syncbn on one thread with PyTorch, jax-js, TensorFlow.js and the machine itself.',
    contenders: cpuContenders,
    shapes: workloads.filter(({ name }) => name !== 'resnet50:16'),
    isQuick: short,
    full: { warmUpSeconds: 0.3, seconds: 1.2, minimumSamples: 3, maximumSamples: 40, sampleSeconds: 0.005 },
    quick: { warmUpSeconds: 0.05, seconds: 0.1, minimumSamples: 1, maximumSamples: 10, sampleSeconds: 0.005 },
  },
  parallel: {
    script: 'bench:parallel',
    description: 'Measures several workers: layers, chains of layers, meetings, scatter and gather.',
    contenders: parallelContenders,
    shapes: [
      ...named('8x64x128x128', '32x256x14x14', '16x2048x7x7'),
      ...workloads.filter(({ family }) => family === 'chain'),
      ...named('resnet50:16'),
    ],
    isQuick: short,
    // Workers are new for each workload, and compile what runs there for some ten steps of ResNet-50.
    full: { warmUpSeconds: 4, seconds: 3, minimumSamples: 10, maximumSamples: 40, sampleSeconds: 0.1 },
    quick: { warmUpSeconds: 0.3, seconds: 0.2, minimumSamples: 2, maximumSamples: 20, sampleSeconds: 0.1 },
  },
  gpu: {
    script: 'bench:gpu',
    description: 'Compares syncbn on WebGPU with jax-js, TensorFlow.js and a copy kernel.',
    contenders: gpuContenders,
    // Batch 8 of ResNet-50 takes all processes and pages together more memory than most machines have.
    shapes: workloads.filter(({ name, family }) => !['resnet50:8', 'resnet50:16'].includes(name) && family !== 'chain'),
    isQuick: ({ name }) => ['4x16x8x8', '8x64x128x128', '4x3x256x256', '4x3x256x256:channels_last'].includes(name),
    // A software adapter needs seconds for a step of a peer.
    full: { warmUpSeconds: 0.1, seconds: 0.5, minimumSamples: 2, maximumSamples: 30, sampleSeconds: 0.005 },
    quick: { warmUpSeconds: 0.02, seconds: 0.15, minimumSamples: 1, maximumSamples: 10, sampleSeconds: 0.005 },
  },
};

/** What to do: run a suite, serve an engine as a child process, or tell Node's WebGPU adapter. */
export type Task = { readonly run: Options } | { readonly serve: string } | { readonly adapter: true };

/**
 * @param parameters - what follows the program's name.
 * @throws CommanderError with the text for the user, and the exit code: 0 where help was asked for.
 */
export function readCommandLine(parameters: readonly string[], environment: NodeJS.ProcessEnv): Task {
  const tasks: Task[] = [];
  const program = new Command('bench').exitOverride();
  for (const name of suiteNames) {
    const command = suiteCommand(name).action((given: Given) => {
      tasks.push({ run: optionsOf(name, given, environment, command) });
    });
    program.addCommand(command);
  }
  program.command('serve <engine>', { hidden: true }).action((serve: string) => void tasks.push({ serve }));
  program.command('adapter', { hidden: true }).action(() => void tasks.push({ adapter: true }));
  program.parse(parameters, { from: 'user' });
  const [task] = tasks;
  if (task === undefined) throw new Error(`expected one of ${suiteNames.join(', ')}`);
  return task;
}

interface Given {
  readonly quick: boolean;
  readonly check: boolean;
  readonly json: string;
  readonly shapes?: readonly Workload[];
  readonly contenders?: ReadonlySet<string>;
  readonly against?: string;
  readonly launches?: number;
  readonly adapter?: Options['adapter'];
  readonly platforms?: readonly string[];
}

function suiteCommand(name: SuiteName): Command {
  const { script, description, contenders } = suites[name];
  const lastRun = `bench/last_${name}_run.json`;
  const shorts = [...new Set(contenders.map(shortName))];
  const platforms = gpuPlatforms.map((platform) => ({ name: platform }));
  const command = new Command(name)
    .usage(`\n  as npm run ${script} -- [options]`)
    .description(`${description} See bench/README.md.`)
    .option('--quick', 'shorter measurements, without the largest workloads', false)
    .option('--check', 'judge each figure to reach: exit code 1 when one is missed', false)
    .addOption(new Option('--json <file>', 'where the results go').default(repositoryFile(lastRun), lastRun))
    .option('--shapes <names>', `comma-separated, of: ${namesOf(workloads)}`, (text) => pick(text, workloads))
    .option('--contenders <names>', `comma-separated, of: ${shorts.join(', ')}`, (text) => {
      return new Set(
        pick(
          text,
          shorts.map((one) => ({ name: one })),
        ).map((one) => one.name),
      );
    })
    .allowExcessArguments(false)
    .exitOverride();
  if (name === 'gpu') {
    return command
      .addOption(new Option('--adapter <kind>').choices(['auto', 'hardware', 'software']).default('auto'))
      .option('--platforms <names>', `comma-separated, of: ${gpuPlatforms.join(', ')}`, (text) =>
        pick(text, platforms).map((platform) => platform.name),
      )
      .addHelpText('after', '\nCHROME_PATH names the browser; without it, one that is installed is taken.');
  }
  return command
    .option('--against <build>', 'compare with another build alone: a commit, or a folder with dist/index.js')
    .option('--launches <number>', 'how often --against starts both builds anew', readCount, 3)
    .addHelpText('after', '\nPyTorch takes part when TORCH_PYTHON names a Python that can import torch.');
}

function optionsOf(suite: SuiteName, given: Given, environment: NodeJS.ProcessEnv, command: Command): Options {
  const { contenders, shapes, isQuick, full, quick } = suites[suite];
  const torchPython = environment['TORCH_PYTHON'] ?? '';
  const isPytorch = ({ name }: Contender) => name.startsWith('pytorch');
  const isChosen = (one: Contender) =>
    (given.contenders?.has(shortName(one)) ?? true) &&
    (given.platforms?.some((platform) => one.name.startsWith(`${platform}/`)) ?? true);
  const chosen = contenders.filter(isChosen);
  if (torchPython === '' && given.contenders !== undefined && chosen.some(isPytorch)) {
    command.error('error: PyTorch takes part only when TORCH_PYTHON names a Python that can import torch');
  }
  return {
    suite,
    workloads: given.shapes ?? (given.quick ? shapes.filter(isQuick) : shapes),
    contenders: torchPython === '' ? chosen.filter((one) => !isPytorch(one)) : chosen,
    budget: given.quick ? quick : full,
    isQuick: given.quick,
    isChecking: given.check,
    jsonFile: given.json,
    torchPython: torchPython === '' ? null : torchPython,
    against: given.against ?? null,
    launches: given.launches ?? 1,
    adapter: given.adapter ?? 'auto',
  };
}

/** A contender's name without its platform. */
function shortName({ name }: Contender): string {
  return name.slice(name.indexOf('/') + 1);
}

function namesOf(known: readonly { readonly name: string }[]): string {
  return known.map(({ name }) => name).join(', ');
}

function readCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new InvalidArgumentError(`expected a whole number from 1, got ${text}`);
  return count;
}

/** The members that a list names, in the order of the benchmark. */
function pick<T extends { readonly name: string }>(text: string, known: readonly T[]): readonly T[] {
  const wanted = new Set(text.split(',').map((name) => name.trim()));
  const unknown = [...wanted].filter((name) => !known.some((member) => member.name === name));
  if (unknown.length > 0) {
    throw new InvalidArgumentError(`expected names of ${namesOf(known)}; got ${unknown.join(', ') || 'none'}`);
  }
  return known.filter(({ name }) => wanted.has(name));
}

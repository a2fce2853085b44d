/** The command line. */

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { contenders, type CpuEngineName, engineNames, type NamedContender } from './contenders.ts';
import { repositoryFile } from './repository.ts';
import { type Workload, workloads } from './workloads.ts';

const LAST_RUN = 'bench/last_run.json';

export interface Options {
  readonly workloads: readonly Workload[];
  readonly contenders: readonly NamedContender[];
  readonly isQuick: boolean;
  /** Whether to judge the figures to reach. */
  readonly isChecking: boolean;
  readonly jsonFile: string;
  /** The build to compare with, as a commit or a folder; instead of all else. */
  readonly against: string | null;
  readonly launches: number;
  /** A Python that can import torch; `null`: PyTorch takes no part. */
  readonly torchPython: string | null;
  /** The engine to serve as a child process, instead of all else. */
  readonly serve: Exclude<CpuEngineName, 'pytorch'> | null;
}

/**
 * @param parameters - what follows the program's name.
 * @throws CommanderError with the text for the user, and the exit code: 0 where help was asked for.
 */
export function readOptions(parameters: readonly string[], environment: NodeJS.ProcessEnv): Options {
  const program = new Command('npm run bench --')
    .description('Compares syncbn with PyTorch, jax-js, TensorFlow.js and the machine itself. See bench/README.md.')
    .option('--quick', 'a minute instead of ten: shorter measurements, without the largest workloads', false)
    .option('--check', 'judge each figure to reach: exit code 1 when one is missed', false)
    .option('--against <build>', 'compare with another build alone: a commit, or a folder with dist/index.js')
    .option('--launches <number>', 'how often --against starts both builds anew', Number, 3)
    .addOption(new Option('--json <file>', 'where the results go').default(repositoryFile(LAST_RUN), LAST_RUN))
    .addOption(
      new Option('--shapes <names>', `comma-separated, of: ${namesOf(workloads)}`).argParser((text) =>
        pick(text, workloads),
      ),
    )
    .addOption(
      new Option('--contenders <names>', `comma-separated, of: ${namesOf(contenders)}`).argParser((text) =>
        pick(text, contenders),
      ),
    )
    .addOption(new Option('--serve <engine>').choices(engineNames.filter((name) => name !== 'pytorch')).hideHelp())
    .addHelpText('after', '\nPyTorch takes part when TORCH_PYTHON names a Python that can import torch.')
    .allowExcessArguments(false)
    .exitOverride();
  program.parse(parameters, { from: 'user' });
  const given = program.opts<GivenOptions>();
  const torchPython = environment['TORCH_PYTHON'] ?? '';
  const isPytorch = ({ engine }: NamedContender) => engine === 'pytorch';
  if (torchPython === '' && given.contenders?.some(isPytorch) === true) {
    program.error('error: PyTorch takes part only when TORCH_PYTHON names a Python that can import torch');
  }
  const chosen = given.contenders ?? contenders;
  return {
    workloads: given.shapes ?? workloads.filter(({ isLong = false }) => !(isLong && given.quick)),
    contenders: torchPython === '' ? chosen.filter((contender) => !isPytorch(contender)) : chosen,
    isQuick: given.quick,
    isChecking: given.check,
    jsonFile: given.json,
    against: given.against ?? null,
    launches: given.launches,
    torchPython: torchPython === '' ? null : torchPython,
    serve: given.serve ?? null,
  };
}

export { CommanderError };

interface GivenOptions {
  readonly quick: boolean;
  readonly check: boolean;
  readonly json: string;
  readonly against?: string;
  readonly launches: number;
  readonly shapes?: readonly Workload[];
  readonly contenders?: readonly NamedContender[];
  readonly serve?: Exclude<CpuEngineName, 'pytorch'>;
}

export function namesOf(known: readonly { readonly name: string }[]): string {
  return known.map(({ name }) => name).join(', ');
}

/** The members that a list names, in the order of the benchmark. */
export function pick<T extends { readonly name: string }>(text: string, known: readonly T[]): readonly T[] {
  const wanted = new Set(text.split(',').map((name) => name.trim()));
  const unknown = [...wanted].filter((name) => !known.some((member) => member.name === name));
  if (unknown.length > 0) {
    throw new InvalidArgumentError(`expected names of ${namesOf(known)}; got ${unknown.join(', ') || 'none'}`);
  }
  return known.filter(({ name }) => wanted.has(name));
}

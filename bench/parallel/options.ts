/** The command line of `npm run bench:parallel`. */

import { Command, Option } from 'commander';
import { repositoryFile } from '../repository.ts';

const LAST_RUN = 'bench/last_parallel_run.json';

export interface ParallelOptions {
  readonly isQuick: boolean;
  /** Whether to judge the figures to reach. */
  readonly isChecking: boolean;
  readonly jsonFile: string;
  /** A Python that can import torch; `null`: PyTorch takes no part. */
  readonly torchPython: string | null;
  /** Whether to serve the workers' engine as a child process, instead of all else. */
  readonly isServing: boolean;
}

/**
 * @param parameters - what follows the program's name.
 * @throws CommanderError with the text for the user, and the exit code: 0 where help was asked for.
 */
export function readParallelOptions(parameters: readonly string[], environment: NodeJS.ProcessEnv): ParallelOptions {
  const program = new Command('npm run bench:parallel --')
    .description('Measures several workers: steps, meetings, scatter and gather. See bench/README.md.')
    .option('--quick', 'shorter measurements, without ResNet-50', false)
    .option('--check', 'judge each figure to reach: exit code 1 when one is missed', false)
    .addOption(new Option('--json <file>', 'where the results go').default(repositoryFile(LAST_RUN), LAST_RUN))
    .addOption(new Option('--serve <engine>').choices(['workers']).hideHelp())
    .addHelpText('after', '\nPyTorch takes part when TORCH_PYTHON names a Python that can import torch.')
    .allowExcessArguments(false)
    .exitOverride();
  program.parse(parameters, { from: 'user' });
  const given = program.opts<{ quick: boolean; check: boolean; json: string; serve?: string }>();
  const torchPython = environment['TORCH_PYTHON'] ?? '';
  return {
    isQuick: given.quick,
    isChecking: given.check,
    jsonFile: given.json,
    torchPython: torchPython === '' ? null : torchPython,
    isServing: given.serve !== undefined,
  };
}

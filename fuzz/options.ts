/** The command line: what can be chosen, and what is wrong with a choice that cannot be. */

import { Command, InvalidArgumentError } from 'commander';
import type { DeviceKind } from 'syncbn';

/** What the fuzzer was asked to do. */
export interface Options {
  readonly seed: number;
  /** Number of the first program. */
  readonly from: number;
  /** Ends after so many steps. */
  readonly steps: number;
  /** Ends after so many seconds. */
  readonly seconds: number;
  readonly devices: readonly DeviceKind[];
  /** Kinds of steps; all where there are none. */
  readonly only: readonly string[];
  /** Kinds of steps that are left out. */
  readonly without: readonly string[];
  /** Ends after so many different faults. */
  readonly faults: number;
  /** A program, or a file that holds one; `null`: random ones. */
  readonly replay: string | null;
}

const kinds = ['cpu', 'worker', 'webgpu'] satisfies DeviceKind[];
const DEFAULT_STEPS = 3000;

/**
 * @param args - without the names of the interpreter and the program.
 * @throws CommanderError after its text has been written: for `--help` with the exit code 0, for a bad option with 2.
 */
export function parseOptions(args: readonly string[]): Options {
  const command = new Command('npm run fuzz --')
    .description(
      'Runs random programs of layers, shapes, splits and failures on all kinds of devices, beside the same on one device. ' +
        'Prints and shortens the first program that goes wrong.',
    )
    .option('--seed <n>', 'decides all programs', integer(0, 2 ** 32 - 1), 1)
    .option('--from <n>', 'number of the first program', integer(0, 2 ** 31), 0)
    .option(
      '--steps <n>',
      `end after so many steps (default: ${DEFAULT_STEPS}, without end where --seconds is given)`,
      integer(1, 1e9),
    )
    .option('--seconds <n>', 'end after so many seconds', integer(1, 1e6))
    .option('--devices <kinds>', 'kinds of devices, separated by commas', deviceKinds, kinds)
    .option('--only <steps>', 'only steps of these kinds, separated by commas', words, [])
    .option('--without <steps>', 'no steps of these kinds, separated by commas', words, [])
    .option('--faults <n>', 'end after so many different faults', integer(1, 1000), 1)
    .option('--replay <program>', 'run this program alone: JSON, or a file that holds it')
    .allowExcessArguments(false)
    .showHelpAfterError('(--help lists the options)')
    .exitOverride((error) => {
      error.exitCode = error.exitCode === 0 ? 0 : 2;
      throw error;
    });
  const given = command
    .parse(args, { from: 'user' })
    .opts<Partial<Options> & Omit<Options, 'steps' | 'seconds' | 'replay'>>();
  const { seconds = Infinity, replay = null } = given;
  return { ...given, seconds, replay, steps: given.steps ?? (seconds === Infinity ? DEFAULT_STEPS : Infinity) };
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`expected an integer from ${min} to ${max}`);
    }
    return value;
  };
}

function words(text: string): readonly string[] {
  return text.split(',').map((word) => word.trim());
}

function deviceKinds(text: string): readonly DeviceKind[] {
  return words(text).map((word) => {
    const kind = kinds.find((one) => one === word);
    if (kind === undefined) throw new InvalidArgumentError(`expected some of ${kinds.join(', ')}`);
    return kind;
  });
}

/** The command line: what can be chosen, and what is wrong with a choice that cannot be. */

import { Command, InvalidArgumentError, Option } from 'commander';
import type { DeviceKind } from 'syncbn';

/** What the program was asked to do. */
export interface Options {
  /** The kind of the devices: in the calling thread, in turn; workers, at the same time; or WebGPU devices. */
  readonly device: DeviceKind;
  /** How many devices the batch is split over. */
  readonly devices: number;
  /** Samples per step, over all devices together. */
  readonly batch: number;
  /** Training steps of each run. */
  readonly steps: number;
  /** Decides the initial weights, the split into training and test images, and the batches. */
  readonly seed: number;
  /** Fewer steps and fewer test images. */
  readonly quick: boolean;
  /** File that the HTML report is written to. */
  readonly report: string;
  /** File that the curves of accuracy are written to, as SVG; `null`: none. */
  readonly picture: string | null;
}

/** The library has 64 devices of each kind, `cpu:0` … `cpu:63`, and the last run gives each sample a device of its own. */
const MAX_DEVICES = 64;

const DEFAULT_STEPS = 300;
const QUICK_STEPS = 20;

/** Where the parser writes; the terminal unless a test listens. */
export interface Output {
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
}

/**
 * Reads the command line.
 *
 * @param args - without the names of the interpreter and the program.
 * @throws CommanderError after its text has been written: for `--help` with the exit code 0, for a bad option with 2.
 */
export function parseOptions(args: readonly string[], output?: Output): Options {
  const command = new Command('npm start --')
    .description(
      'Trains a small convolutional network on handwritten digits, on one device and split over devices with plain and with ' +
        'synchronized batch norm, and compares what they learn.',
    )
    .addOption(
      new Option('--device <kind>', 'where to compute: in the calling thread, in workers or on a GPU')
        .choices(['cpu', 'worker', 'webgpu'] satisfies DeviceKind[])
        .default('cpu'),
    )
    .option('--devices <n>', 'devices that the batch is split over', integer(2, MAX_DEVICES / 2), 8)
    .option('--batch <n>', 'samples per step, over all devices together', integer(4, MAX_DEVICES), 16)
    .option(
      '--steps <n>',
      `training steps per run (default: ${DEFAULT_STEPS}, with --quick ${QUICK_STEPS})`,
      integer(1, 100_000),
    )
    .option('--seed <n>', 'of initial weights, test images and batches', integer(0, 2 ** 32 - 1), 1)
    .option('--quick', 'a run of seconds, to see that everything works')
    .option('--report <file>', 'where to write the HTML report', 'reports/digits.html')
    .option('--picture <file>', 'where to write the curves of accuracy as a picture (SVG) of their own')
    .allowExcessArguments(false)
    .showHelpAfterError('(--help lists the options)')
    .exitOverride((error) => {
      error.exitCode = error.exitCode === 0 ? 0 : 2;
      throw error;
    });
  if (output !== undefined) {
    command.configureOutput({ writeOut: output.write, writeErr: output.writeError });
  }
  const given = command
    .parse(args, { from: 'user' })
    .opts<
      Omit<Options, 'steps' | 'quick' | 'picture'> &
        Partial<Pick<Options, 'steps' | 'quick'>> & { readonly picture?: string }
    >();
  const { devices, batch, quick = false } = given;
  if (batch % devices !== 0 || batch < 2 * devices) {
    command.error(
      `error: --batch ${batch} with --devices ${devices}: expected a multiple of the number of devices that gives each at least ` +
        `2 samples, such as ${devices * Math.min(Math.max(2, Math.round(batch / devices)), Math.floor(MAX_DEVICES / devices))}`,
    );
  }
  return {
    ...given,
    quick,
    picture: given.picture ?? null,
    steps: given.steps ?? (quick ? QUICK_STEPS : DEFAULT_STEPS),
  };
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`expected an integer from ${min} to ${max}`);
    }
    return value;
  };
}

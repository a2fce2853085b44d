/** The command line. */

import { Command, InvalidArgumentError } from 'commander';

/** What the program was asked to do. */
export interface Options {
  /** Rows and columns of an image. */
  readonly size: number;
  /** File of torchvision's weights; `null`: random ones. */
  readonly weights: string | null;
  /** A network of an eighth of the channels on small images. */
  readonly quick: boolean;
}

/** @throws CommanderError after its text has been written. */
export function parseOptions(args: readonly string[]): Options {
  const command = new Command('npm run example:resnet50 --')
    .description(
      'Trains ResNet-50, a model of tf.layers, for one step on one device and on two, and compares the weights.',
    )
    .option('--size <n>', 'rows and columns of an image', size, 128)
    .option(
      '--weights <file>',
      "torchvision's weights, written by safetensors.torch.save_file(model.state_dict(), file)",
    )
    .option('--quick', 'a small network on small images')
    .allowExcessArguments(false)
    .parse(args, { from: 'user' });
  const {
    size: rows,
    weights = null,
    quick = false,
  } = command.opts<{ size: number; weights?: string; quick?: boolean }>();
  return { size: rows, weights, quick };
}

function size(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 32 || value > 512) {
    throw new InvalidArgumentError('expected a whole number from 32 to 512');
  }
  return value;
}

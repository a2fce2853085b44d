/**
 * The main job: trains a small convolutional network on real handwritten digits, on one device and split over several,
 * with plain and with synchronized batch norm, and shows that the synchronized runs learn what the one device learns.
 *
 * `npm start` builds the package and runs this program against it; `npm start -- --help` lists the options.
 */

import { CommanderError } from 'commander';
import { digits } from './digits.ts';
import { type Options, parseOptions } from './options.ts';

/** The exit code of a program that was called wrongly; `null` for options to go on with. */
function readOptions(): Options | number {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode;
    }
    throw error;
  }
}

const options = readOptions();
process.exitCode = typeof options === 'number' ? options : await digits(options, process.stdout, process.stderr);

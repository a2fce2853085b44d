/** The fuzzer: `npm run fuzz -- --help` lists what it can do. */

import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import { hunt } from './hunt.ts';
import { type Options, parseOptions } from './options.ts';
import { replay } from './replay.ts';
import { CHILD, runForParent, Runner } from './runner.ts';

const [first] = process.argv.slice(2);
if (first === CHILD) runForParent();
else process.exitCode = await main(readOptions());

async function main(options: Options | number): Promise<number> {
  if (typeof options === 'number') return options;
  const runner = new Runner(fileURLToPath(import.meta.url));
  const { stdout, stderr } = process;
  const faults = await (options.replay === null
    ? hunt(options, runner, stdout, stderr)
    : replay(options.replay, runner, stdout));
  return faults > 0 ? 1 : 0;
}

/** The exit code of a program that was called wrongly; else the options. */
function readOptions(): Options | number {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
}

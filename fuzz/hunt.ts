/** Runs random programs until the time is up or enough faults are found, each of which is printed and shortened. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateProgram } from './generate.ts';
import type { Options } from './options.ts';
import { HANG_SECONDS } from './outcome.ts';
import type { Program } from './program.ts';
import { createProgress, type Terminal } from './progress.ts';
import type { FaultReport, Runner } from './runner.ts';
import { shrink } from './shrink.ts';

/** Programs that one process runs: a fresh one from time to time keeps what they leave from adding up. */
const PROGRAMS_PER_PROCESS = 250;
/** Programs that are tried to make one shorter, and for how long. */
const MOST_TRIES = 400;
const SHRINK_SECONDS = 60;
/** A step that hung in the first place has to hang only so long in a shorter program. */
const SHORT_HANG_SECONDS = 3;

/** Where programs that went wrong are written. */
const folder = join('build', 'fuzz');

/** @returns how many different faults there were. */
export async function hunt(options: Options, runner: Runner, out: Terminal, err: Terminal): Promise<number> {
  const { seed, devices } = options;
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 1000;
  const progress = createProgress(err, options.steps);
  const found = new Set<string>();
  let [steps, programs] = [0, 0];
  while (steps < options.steps && elapsed() < options.seconds && found.size < options.faults) {
    const index = options.from + programs;
    const program = chosenSteps(generateProgram(seed, index, devices), options);
    if (programs % PROGRAMS_PER_PROCESS === 0) runner.close();
    const fault = await runner.run(program);
    programs += 1;
    steps += program.steps.length;
    progress.update(steps, programs, found.size);
    if (fault === null || found.has(nameOf(fault))) continue;
    found.add(nameOf(fault));
    out.write(`\nfuzz: program ${index} of seed ${seed}: ${fault.message}\n`);
    await describe(program, `${seed}_${index}`, fault, runner, out);
  }
  progress.stop();
  runner.close();
  const counts = `${steps} steps in ${programs} programs, ${found.size} faults`;
  out.write(`fuzz: ${counts}, seed ${seed}, devices ${devices.join(',')}, ${elapsed().toFixed(0)} s\n`);
  return found.size;
}

/** Prints how to replay a program, and the shortest that shows the same fault. */
export async function describe(
  program: Program,
  name: string,
  fault: FaultReport,
  runner: Runner,
  out: Terminal,
): Promise<void> {
  out.write(`replay with: ${commandOf(program, name)}\n`);
  const hangSeconds = fault.kind === 'hang' ? SHORT_HANG_SECONDS : HANG_SECONDS;
  const end = performance.now() + 1000 * SHRINK_SECONDS;
  const shows = async (candidate: Program): Promise<boolean> => {
    if (performance.now() > end) return false;
    const other = await runner.run(candidate, hangSeconds);
    return other !== null && nameOf(other) === nameOf(fault);
  };
  if (!(await shows(program))) {
    out.write('alone it goes well: what ran before it in the same process matters, or chance\n');
    return;
  }
  const shrunk = await shrink(program, shows, MOST_TRIES);
  const last = await runner.run(shrunk.program, hangSeconds);
  const { length } = shrunk.program.steps;
  out.write(
    `shortened to ${length} of ${program.steps.length} steps in ${shrunk.tries} tries: ${last?.message ?? ''}\n`,
  );
  out.write(`replay with: ${commandOf(shrunk.program, `${name}_short`)}\n`);
}

/** What tells faults apart, whatever the sizes are. */
function nameOf({ kind, what }: FaultReport): string {
  return `${kind}: ${what}`;
}

/** Writes the program to a file and tells how to run it: by its text where that is short, else by the file. */
function commandOf(program: Program, name: string): string {
  const text = JSON.stringify(program);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.json`);
  writeFileSync(file, `${text}\n`);
  return `npm run fuzz -- --replay ${text.length < 1500 ? `'${text}'` : file}`;
}

function chosenSteps(program: Program, { only, without }: Options): Program {
  const steps = program.steps.filter(
    ({ kind }) => (only.length === 0 || only.includes(kind)) && !without.includes(kind),
  );
  return { ...program, steps };
}

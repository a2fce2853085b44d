/** Runs one program that was printed or written to a file. */

import { existsSync, readFileSync } from 'node:fs';
import type { Program } from './program.ts';
import type { Terminal } from './progress.ts';
import type { Runner } from './runner.ts';

/** @returns how many faults there were. */
export async function replay(source: string, runner: Runner, out: Terminal): Promise<number> {
  const fault = await runner.run(readProgram(source));
  runner.close();
  out.write(fault === null ? 'fuzz: the program goes well\n' : `fuzz: ${fault.message}\n`);
  return fault === null ? 0 : 1;
}

/** @param source - JSON, or a file that holds it. */
function readProgram(source: string): Program {
  return JSON.parse(existsSync(source) ? readFileSync(source, 'utf8') : source) as Program;
}

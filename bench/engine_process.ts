/** The parent's handle of an engine in a child process, which is started once and asked again and again. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import type { AnswerTo, CommandName, Reply, RequestOf, RunningEngine } from './protocol.ts';
import { repositoryFile } from './repository.ts';

/**
 * Keeps glibc from giving memory back to the system and faulting it in again for every result, which would cost PyTorch
 * two fifths of its time, as this library keeps memory too; and OpenMP's waiting threads from spinning while others are measured.
 */
const PYTORCH_ENVIRONMENT = {
  GLIBC_TUNABLES:
    'glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:glibc.malloc.mmap_max=0',
  OMP_WAIT_POLICY: 'passive',
};

/** How much of what an engine said on standard error is told when it ends unasked. */
const ERROR_TAIL = 2000;

/**
 * Starts an engine of Node and awaits its greeting.
 * @param library - the build of this library that it gets, as the path of its entry.
 */
export function startNodeEngine(name: string, library = repositoryFile('dist/index.js')): Promise<RunningEngine> {
  const program = process.argv[1] ?? '';
  return start(name, process.execPath, ['--import', resolverOf(library), program, 'serve', name], {});
}

/** @param python - a Python that can import torch. */
export function startPytorch(python: string | null): Promise<RunningEngine> {
  if (python === null) throw new Error('PyTorch needs TORCH_PYTHON, the path of a Python that can import torch');
  return start('pytorch', python, [repositoryFile('bench/engines/pytorch.py')], PYTORCH_ENVIRONMENT);
}

/** A module for `--import` that says where `syncbn` is found. */
function resolverOf(library: string): string {
  const moduleOf = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
  const found = JSON.stringify({ url: pathToFileURL(library).href, format: 'module', shortCircuit: true });
  const hook = `export const resolve = (name, context, next) => name === 'syncbn' ? ${found} : next(name, context);`;
  return moduleOf(`import { register } from 'node:module'; register(${JSON.stringify(moduleOf(hook))});`);
}

async function start(
  name: string,
  command: string,
  parameters: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<RunningEngine> {
  const child = spawn(command, parameters, { env: { ...process.env, ...environment }, stdio: 'pipe' });
  let failure = '';
  let tail = '';
  child.on('error', (error) => (failure = error.message));
  // A process that has ended is reported where its reply is awaited.
  child.stdin.on('error', () => undefined);
  child.stderr.setEncoding('utf8').on('data', (text: string) => (tail = (tail + text).slice(-ERROR_TAIL)));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const reply = async (): Promise<unknown> => {
    for (;;) {
      const line = await lines.next();
      if (line.done === true) {
        throw new Error(`the process of ${name} ended: ${failure || tail.trim() || 'it said nothing'}`);
      }
      // A framework may greet on standard output too; replies are the lines of JSON.
      if (!line.value.startsWith('{')) continue;
      const message = JSON.parse(line.value) as Reply;
      if ('error' in message) throw new Error(`${name}: ${message.error}`);
      return message.ok;
    }
  };
  return {
    version: String(await reply()),
    async ask<C extends CommandName>(request: RequestOf<C>) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return (await reply()) as AnswerTo<C>;
    },
    stop: () => void child.kill(),
  };
}

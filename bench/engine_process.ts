/** The parent's handle of an engine: its process, started once and asked again and again. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import type { EngineName } from './contenders.ts';
import type { Answers, Reply, Request } from './protocol.ts';
import { repositoryFile } from './repository.ts';

/**
 * Keeps glibc from giving memory back to the system and faulting it in again for every result, which would cost PyTorch
 * more than its arithmetic; and OpenMP's waiting threads from spinning while others are measured.
 */
const PYTORCH_ENVIRONMENT = {
  MALLOC_MMAP_THRESHOLD_: '4294967296',
  MALLOC_TRIM_THRESHOLD_: '8589934592',
  MALLOC_TOP_PAD_: '268435456',
  OMP_WAIT_POLICY: 'passive',
};

/** How much of what an engine said on standard error is told when it ends unasked. */
const ERROR_TAIL = 2000;

/** An engine that answers, wherever it runs. */
export interface RunningEngine {
  /** What the engine calls itself. */
  readonly version: string;
  /** Asks, and awaits the answer. One request at a time. */
  ask<C extends Request['command']>(request: Extract<Request, { command: C }>): Promise<Answers[C]>;
  /** Ends it. */
  stop(): void;
}

export class EngineProcess implements RunningEngine {
  /** What the engine calls itself. */
  readonly version: string;
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #replies: () => Promise<unknown>;

  private constructor(version: string, child: ChildProcess, input: Writable, replies: () => Promise<unknown>) {
    this.version = version;
    this.#child = child;
    this.#input = input;
    this.#replies = replies;
  }

  /**
   * Starts an engine and awaits its greeting.
   * @param torchPython - a Python that can import torch; needed for PyTorch alone.
   * @param library - the entry of another build of this library, which the engine gets in the place of ours.
   */
  static async start(engine: EngineName, torchPython: string | null, library?: string): Promise<EngineProcess> {
    const [command, ...parameters] = commandOf(engine, torchPython, library);
    const env = engine === 'pytorch' ? { ...process.env, ...PYTORCH_ENVIRONMENT } : process.env;
    const child = spawn(command, parameters, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    // A process that has ended is reported where its reply is awaited.
    child.stdin.on('error', () => undefined);
    const replies = repliesOf(engine, child, child.stdout, child.stderr);
    return new EngineProcess(String(await replies()), child, child.stdin, replies);
  }

  /** Asks, and awaits the answer. One request at a time. */
  async ask<C extends Request['command']>(request: Extract<Request, { command: C }>): Promise<Answers[C]> {
    this.#input.write(`${JSON.stringify(request)}\n`);
    return (await this.#replies()) as Answers[C];
  }

  /** Ends the process. */
  stop(): void {
    this.#child.kill();
  }
}

function commandOf(engine: EngineName, torchPython: string | null, library?: string): [string, ...string[]] {
  if (engine !== 'pytorch') {
    const hooks = library === undefined ? [] : ['--import', resolverOf(library)];
    return [process.execPath, ...hooks, process.argv[1] ?? '', '--serve', engine];
  }
  if (torchPython === null) throw new Error('PyTorch needs TORCH_PYTHON, the path of a Python that can import torch');
  return [torchPython, repositoryFile('bench/engines/pytorch.py')];
}

/** A module for `--import` after which `syncbn` is found in another place. */
function resolverOf(library: string): string {
  const moduleOf = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
  const found = JSON.stringify({ url: pathToFileURL(library).href, format: 'module', shortCircuit: true });
  const hook = `export const resolve = (name, context, next) => name === 'syncbn' ? ${found} : next(name, context);`;
  return moduleOf(`import { register } from 'node:module'; register(${JSON.stringify(moduleOf(hook))});`);
}

/** A function that awaits the next reply; it rejects when the engine reports an error, or ends. */
function repliesOf(engine: string, child: ChildProcess, output: Readable, errors: Readable): () => Promise<unknown> {
  let tail = '';
  errors.setEncoding('utf8').on('data', (text: string) => (tail = (tail + text).slice(-ERROR_TAIL)));
  let failure = '';
  child.on('error', (error) => (failure = error.message));
  const lines = createInterface({ input: output })[Symbol.asyncIterator]();
  return async () => {
    for (;;) {
      const line = await lines.next();
      if (line.done === true) {
        throw new EngineEndedError(`the process of ${engine} ended: ${failure || tail.trim() || 'it said nothing'}`);
      }
      // A framework may greet on standard output too; replies are the lines of JSON.
      if (!line.value.startsWith('{')) continue;
      const reply = JSON.parse(line.value) as Reply;
      if ('error' in reply) throw new Error(`${engine}: ${reply.error}`);
      return reply.ok;
    }
  };
}

/** An engine's process is gone. */
export class EngineEndedError extends Error {
  override readonly name = 'EngineEndedError';
}

/** Runs programs in a process of their own, which may die or hang without harm. */

import { type ChildProcess, fork } from 'node:child_process';
import { Fault, type FaultKind, HANG_SECONDS } from './outcome.ts';
import type { Program } from './program.ts';
import { runProgram } from './run.ts';

/** The argument by which a process learns that it is to run programs for another. */
export const CHILD = 'run-for-parent';

/** A process that has said nothing for so long is stuck in one place: what waits is told of earlier. */
const SILENCE_MS = 120_000;
/** How much of what a process has written before its death is shown. */
const SHOWN_CHARACTERS = 3000;

/** A fault as it travels between processes. */
export interface FaultReport {
  readonly kind: FaultKind;
  readonly what: string;
  readonly message: string;
}

interface Task {
  readonly program: Program;
  readonly hangSeconds: number;
}

type Answer =
  | { readonly kind: 'step'; readonly index: number }
  | { readonly kind: 'passed' }
  | { readonly kind: 'fault'; readonly fault: FaultReport };

/** What a process does that was started with {@link CHILD}. */
export function runForParent(): void {
  const answer = (message: Answer): void => void process.send?.(message);
  process.on('message', ({ program, hangSeconds }: Task) => {
    let heard = performance.now();
    const onStep = (index: number): void => {
      // A sign of life, seldom enough to cost nothing.
      if (performance.now() - heard < 1000) return;
      heard = performance.now();
      answer({ kind: 'step', index });
    };
    runProgram(program, { onStep, hangSeconds }).then(
      () => answer({ kind: 'passed' }),
      (error: unknown) => answer({ kind: 'fault', fault: reportOf(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
}

export function reportOf(error: unknown): FaultReport {
  if (error instanceof Fault) return { kind: error.kind, what: error.what, message: error.message };
  return {
    kind: 'error',
    what: 'the fuzzer',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}

/** A process that runs one program after another; a new one takes its place after a fault. */
export class Runner {
  readonly #file: string;
  #child: ChildProcess | null = null;
  #written = '';

  /** @param file - the program that calls {@link runForParent} when it is given {@link CHILD}. */
  constructor(file: string) {
    this.#file = file;
  }

  /**
   * @param hangSeconds - after which a step hangs.
   * @returns `null` when nothing was wrong.
   */
  async run(program: Program, hangSeconds = HANG_SECONDS): Promise<FaultReport | null> {
    const child = (this.#child ??= this.#start());
    const report = await new Promise<FaultReport | null>((resolve) => {
      let timer: ReturnType<typeof setTimeout>;
      const end = (result: FaultReport | null): void => {
        clearTimeout(timer);
        child.off('message', listen);
        child.off('exit', die);
        resolve(result);
      };
      const wait = (): void => {
        clearTimeout(timer);
        const message = `the process has said nothing for ${SILENCE_MS / 1000} s`;
        timer = setTimeout(() => end({ kind: 'hang', what: 'the process', message }), SILENCE_MS);
      };
      const listen = (message: Answer): void => {
        if (message.kind === 'step') wait();
        else end(message.kind === 'passed' ? null : message.fault);
      };
      const die = (code: number | null, signal: string | null): void => {
        const message = `the process ended with ${signal ?? `code ${code ?? 'unknown'}`}\n${this.#written}`;
        end({ kind: 'death', what: 'the process', message });
      };
      wait();
      child.on('message', listen);
      child.on('exit', die);
      child.send({ program, hangSeconds } satisfies Task);
    });
    if (report !== null) this.close();
    return report;
  }

  /** Ends the process; the next program starts another. */
  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = null;
  }

  #start(): ChildProcess {
    const child = fork(this.#file, [CHILD], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.#written = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.#written = (this.#written + text.toString()).slice(-SHOWN_CHARACTERS);
      });
    }
    return child;
  }
}

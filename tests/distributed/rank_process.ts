/** Ranks as processes of Node, each told by its arguments what to do. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { bundleProgram } from '../support/bundle_program.ts';
import { ended } from '../support/ended.ts';
import type { NatsTask } from './nats_rank.ts';

/** What a process tells. */
export interface RankLine {
  readonly begun?: boolean;
  readonly step?: number;
  readonly result?: unknown;
  /** How many frames it has refused. */
  readonly refused?: number;
  readonly state?: string;
  readonly error?: { readonly name: string; readonly message: string };
  readonly at?: number;
}

export interface RankProcess {
  /** Resolves with the first line for which that holds; with `null` when the process ends before. */
  line(is: (line: RankLine) => boolean): Promise<RankLine | null>;
  /** The last line. */
  end(): Promise<RankLine>;
  kill(): Promise<void>;
  /** Stops the process in the middle of whatever it does. */
  pause(): void;
  resume(): void;
}

export function startRank(program: string, task: object): RankProcess {
  const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: RankLine[] = [];
  let listeners: (() => void)[] = [];
  const notify = (): void => listeners.forEach((listen) => listen());
  createInterface({ input: child.stdout }).on('line', (line) => {
    // Packages print, too.
    if (line.startsWith('{')) lines.push(JSON.parse(line) as RankLine);
    else process.stderr.write(`${line}\n`);
    notify();
  });
  let hasEnded = false;
  child.on('close', () => {
    hasEnded = true;
    notify();
  });
  const when = async (isDone: () => boolean): Promise<void> => {
    while (!isDone()) {
      await new Promise<void>((done) => {
        listeners.push(done);
      });
      listeners = [];
    }
  };
  return {
    line: async (is) => {
      await when(() => hasEnded || lines.some(is));
      return lines.find(is) ?? null;
    },
    end: async () => {
      await when(() => hasEnded);
      return lines.at(-1) ?? {};
    },
    kill: () => ended(child, 'SIGKILL'),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

/** Those of one job. A test that ends leaves none behind. */
export interface Ranks extends AsyncDisposable {
  readonly all: readonly RankProcess[];
  /** Resolves when each has met the others. */
  begun(): Promise<void>;
  /** Resolves when each has done a step. */
  hasDone(step: number): Promise<void>;
  /** The last lines. */
  ends(): Promise<RankLine[]>;
}

/** What {@link Starter} is told: the job is a new one each time, unless it is named. */
export type RanksTask = Omit<NatsTask, 'rank' | 'worldSize' | 'timeout' | 'job'> & Partial<NatsTask>;

/** @param ranks - what differs from `task`; how many ranks, where nothing does. */
export type Starter = (task: RanksTask, ranks: number | readonly Partial<NatsTask>[]) => Ranks;

/** Bundles the program of the ranks, and gives what starts them. */
export async function rankStarter(): Promise<Starter> {
  const program = await bundleProgram('tests/distributed/nats_rank.ts');
  let jobs = 0;
  return (task, ranks) => {
    jobs += 1;
    const differences = typeof ranks === 'number' ? Array.from({ length: ranks }, () => ({})) : ranks;
    const place = { job: `job-${jobs}`, worldSize: differences.length, timeout: 20 };
    const all = differences.map((difference, rank) => startRank(program, { ...place, rank, ...task, ...difference }));
    const each = async <T>(wait: (rank: RankProcess) => Promise<T>): Promise<T[]> => Promise.all(all.map(wait));
    const told = async (is: (line: RankLine) => boolean): Promise<void> => {
      const lines = await each(async (rank) => (await rank.line(is)) ?? (await rank.end()));
      const other = lines.find((line) => !is(line));
      if (other !== undefined) throw new Error(`a rank has ended before: ${JSON.stringify(other)}`);
    };
    return {
      all,
      begun: () => told(({ begun }) => begun === true),
      hasDone: (done) => told(({ step = -1 }) => step >= done),
      ends: () => each((rank) => rank.end()),
      [Symbol.asyncDispose]: async () => {
        await each((rank) => rank.kill());
      },
    };
  };
}

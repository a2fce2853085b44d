/** Starts ranks as threads of this program: worker threads in Node, Web Workers in a page. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { importFromPlatform, isNode } from '../platform_modules.ts';
import { connectedPorts } from './ports.ts';
import { portsMemory } from './shared_inbox.ts';
import { type RankNews, type RankStart, startedKey, type Told, toldOf } from './rank_program.ts';

/** How many ranks {@link spawn} starts, and what it gives them. */
export interface SpawnOptions {
  /** How many ranks; default: as many as there are cores. */
  readonly nprocs?: number;
  /** What each rank is given as `args`; it is copied as `postMessage` copies. */
  readonly args?: unknown;
  /** How long a rank waits for another, in seconds; default 60. */
  readonly timeout?: number;
  /**
   * Whether ranks exchange through shared memory where the platform has it: Node, and pages that are cross-origin isolated. Default `true`; results
   * are the same.
   */
  readonly sharedMemory?: boolean;
  /** Environment variables of the threads in Node, besides `RANK`, `LOCAL_RANK` and `WORLD_SIZE`. */
  readonly env?: Readonly<Record<string, string>>;
}

const spawnOptions: KnownOptions<SpawnOptions> = {
  nprocs: 'number',
  args: 'object',
  timeout: 'number',
  sharedMemory: 'boolean',
  env: 'object',
};

/** A worker, of a page or of Node. */
export interface SpawnedWorker {
  /** Sends a message; the ports are given away. */
  postMessage(message: unknown, transfer: readonly MessagePort[]): void;
  /** Ends the worker. */
  terminate(): unknown;
}

/** How long the other ranks may take to end by themselves when one has failed: they are told at once. */
const END_DELAY_MS = 500;

/** A rank of `spawn()` has failed. What it has thrown is the `cause`. */
export class RankError extends Error {
  override readonly name = 'RankError';
  readonly rank: number;

  constructor(rank: number, cause: Error) {
    super(`rank ${rank} has failed: ${cause.name}: ${cause.message}`, { cause });
    this.rank = rank;
  }
}

/**
 * Runs a program in several threads, the ranks of one process group; `torch.multiprocessing.spawn`.
 *
 * @param program - the address of a module whose default export is the function that each rank runs. A bundler has to see that it is a program: there give a function that makes a worker of it, and mark the default export
 * with {@link spawnable}.
 * @returns what the ranks have returned, in order.
 * @throws RankError with the error of the rank that failed first; all threads have ended then. A thread that ends by itself, as by
 * `process.exit()`, has failed.
 *
 * In a page, ranks end with the page. Browsers slow down timers of hidden pages, not messages, so training goes on there; only time-outs come
 * late.
 *
 * @example
 * ```ts
 * await spawn(new URL('./train.js', import.meta.url), { nprocs: 4 });
 * // train.js
 * export default async function main({ rank, group }) { … }
 * ```
 */
export async function spawn<Result = unknown>(
  program: URL | string | ((rank: number) => SpawnedWorker),
  options: SpawnOptions = {},
): Promise<Result[]> {
  checkOptions('spawn()', options, spawnOptions);
  const { timeout = 60, args, env = {}, sharedMemory = true } = options;
  const size = options.nprocs ?? (await coreCount());
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new RangeError(`spawn(): expected a positive number of nprocs, got ${describeValue(size)}`);
  }
  if (typeof program !== 'function' && typeof program !== 'string' && !(program instanceof URL)) {
    throw new TypeError(
      `spawn(): expected the URL of a module or a function that makes a worker, got ${describeValue(program)}`,
    );
  }
  const make = typeof program === 'function' ? program : await makerOf(size, env);
  const url = typeof program === 'function' ? null : String(program);
  const job = `spawned ${Date.now()} ${Math.random()}`;
  const ports = connectedPorts(size);
  const memory = sharedMemory ? portsMemory(size) : null;
  const ranks: Rank<Result>[] = [];
  try {
    for (const [rank, own] of ports.entries()) {
      const start: RankStart = {
        syncbnRank: rank,
        job,
        ports: own,
        timeout,
        args,
        url,
        memory,
        library: libraryUrl(url),
      };
      ranks.push(startWorker(make(rank), start));
    }
    return await Promise.all(ranks.map(({ result }) => result)).catch(async (error: unknown) => {
      await Promise.race([Promise.allSettled(ranks.map(({ result }) => result)), delay(END_DELAY_MS)]);
      throw firstFailure(ranks) ?? error;
    });
  } finally {
    await Promise.all(ranks.map(({ terminate }) => terminate()));
  }
}

/** A thread that runs. */
interface Rank<Result> {
  readonly result: Promise<Result>;
  readonly failure: () => { readonly told: Told; readonly order: number } | null;
  readonly terminate: () => Promise<void>;
}

let failures = 0;

function startWorker<Result>(given: SpawnedWorker, start: RankStart): Rank<Result> {
  const worker = given as PlatformWorker;
  const { syncbnRank: rank } = start;
  let failure: { told: Told; order: number } | null = null;
  const result = new Promise<Result>((resolve, reject) => {
    let hasEnded = false;
    const fail = (told: Told): void => {
      if (!hasEnded) {
        hasEnded = true;
        failures += 1;
        failure = { told, order: failures };
        reject(rankError(rank, told));
      }
    };
    const end = (message: unknown): void => {
      const told = message as RankNews;
      if ('lock' in told) {
        void navigator.locks.request(told.lock, () => lose(new Error('its worker has ended before its function had')));
      } else if ('failure' in told) {
        fail(told.failure);
      } else {
        hasEnded = true;
        resolve(told.result as Result);
      }
    };
    const lose = (error: unknown): void => fail(toldOf(error));
    if (worker.on !== undefined) {
      worker.on('message', end);
      worker.on('error', lose);
      worker.on('messageerror', lose);
      worker.on('exit', (code) =>
        lose(new Error(`its thread has ended with exit code ${String(code)} before its function had`)),
      );
    } else {
      worker.onmessage = ({ data }) => end(data);
      worker.onmessageerror = () => lose(new Error('what it returned could not be read'));
      worker.onerror = (event) => {
        event.preventDefault?.();
        lose(new Error(event.message ?? 'its worker could not be started'));
      };
    }
    worker.postMessage(
      start,
      start.ports.filter((port) => port !== null),
    );
  });
  result.catch(() => undefined);
  return {
    result,
    failure: () => failure,
    terminate: async () => {
      await worker.terminate();
    },
  };
}

/** Not the failure that was heard of first, where that is the consequence of another. */
function firstFailure(ranks: readonly Rank<unknown>[]): RankError | null {
  const failed = [...ranks.entries()].flatMap(([rank, { failure }]) => {
    const found = failure();
    return found === null ? [] : [{ rank, ...found }];
  });
  const [first] = failed.sort(
    (a, b) => Number(a.told.isConsequence) - Number(b.told.isConsequence) || a.order - b.order,
  );
  return first === undefined ? null : rankError(first.rank, first.told);
}

function rankError(rank: number, { name, message, stack }: Told): RankError {
  return new RankError(rank, Object.assign(new Error(message), { name, stack }));
}

/** What the workers of pages and of Node have. */
interface PlatformWorker extends SpawnedWorker {
  on?(event: 'message' | 'error' | 'messageerror' | 'exit', listen: (value: unknown) => void): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onmessageerror: (() => void) | null;
  onerror: ((event: { readonly message?: string; preventDefault?(): void }) => void) | null;
}

/** Where the program of a thread finds this library: the same build as the user's program. */
function libraryUrl(url: string | null): string {
  const own = import.meta.url;
  return url?.endsWith('.cjs') === true ? own : own.replace(/\.cjs$/, '.js');
}

/** The program of a thread until it knows what it is to run. */
const inPage = `onmessage = ({ data }) => {
  globalThis.${startedKey} = true;
  import(data.library).then(({ startRank }) => startRank(data, globalThis));
};`;
const inNode = `const { parentPort } = require('node:worker_threads');
parentPort.once('message', (data) => {
  globalThis.${startedKey} = true;
  import(data.library).then(({ startRank }) => startRank(data, parentPort));
});`;

/** Makes the workers of a platform. */
async function makerOf(size: number, env: Readonly<Record<string, string>>): Promise<(rank: number) => SpawnedWorker> {
  if (!isNode()) {
    const blob = URL.createObjectURL(new Blob([inPage], { type: 'text/javascript' }));
    // The address of a page's file may be relative to the page; a worker's is not.
    return () => new Worker(blob, { type: 'module' }) as unknown as SpawnedWorker;
  }
  const { Worker: NodeWorker } = (await importFromPlatform('node:worker_threads')) as NodeWorkers;
  const { process } = globalThis as unknown as { readonly process: NodeProcess };
  return (rank) => {
    const places = { RANK: String(rank), LOCAL_RANK: String(rank), WORLD_SIZE: String(size) };
    return new NodeWorker(inNode, { eval: true, env: { ...process.env, ...places, ...env } });
  };
}

interface NodeProcess {
  readonly env: Readonly<Record<string, string>>;
}

interface NodeWorkers {
  readonly Worker: new (
    program: string,
    options: { readonly eval: true; readonly env: Readonly<Record<string, string>> },
  ) => SpawnedWorker;
}

async function coreCount(): Promise<number> {
  const { navigator } = globalThis as { readonly navigator?: { readonly hardwareConcurrency?: number } };
  if (navigator?.hardwareConcurrency !== undefined) {
    return navigator.hardwareConcurrency;
  }
  const { availableParallelism } = (await importFromPlatform('node:os')) as {
    readonly availableParallelism: () => number;
  };
  return availableParallelism();
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

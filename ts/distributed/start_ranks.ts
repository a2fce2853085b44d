/** Makes the threads of `spawn()`, worker threads in Node and Web Workers in a page, and waits for what they tell. */

import { importFromPlatform, isNode } from '../platform_modules.ts';
import { connectedPorts } from './connected_ports.ts';
import { portsMemory } from './ports_memory.ts';
import { RankError } from './process_group_errors.ts';
import { type RankNews, type RankStart, startedKey, type Told, toldOf } from './rank_news.ts';
import type { SpawnedWorker, SpawnOptions } from './spawn_options.ts';

/** How long the other ranks may take to end by themselves when one has failed: they are told at once. */
const END_DELAY_MS = 500;

/** @returns what the ranks have returned, in order. @throws RankError */
export async function startRanks<Result>(
  program: URL | string | ((rank: number) => SpawnedWorker),
  options: SpawnOptions,
): Promise<Result[]> {
  const { timeout = 60, args, env = {}, sharedMemory = true } = options;
  const size = options.nprocs ?? (await coreCount());
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

/** Where the program of a thread finds this library: the entry beside this file, and the same kind of module as the user's program. */
function libraryUrl(url: string | null): string {
  const own = import.meta.url;
  const isCommon = own.endsWith('.cjs') && url?.endsWith('.cjs') === true;
  return own.replace(/[^/]*$/, isCommon ? 'distributed.cjs' : 'distributed.js');
}

/** The program of a thread until it knows what it is to run. */
const inPage = `onmessage = ({ data }) => {
  globalThis.${startedKey} = true;
  import(data.library).then(
    ({ startRank }) => startRank(data, globalThis),
    ({ name, message }) => postMessage({ failure: { name, message, stack: '', isConsequence: false } }),
  );
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

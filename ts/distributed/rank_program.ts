/** What runs in a thread that `spawn()` has started: makes the group, calls the user's function, and tells what has become of it. */

import { importFromPlatform, isNode } from '../platform_modules.ts';
import { portsTransport } from './ports.ts';
import { ProcessGroup } from './process_group.ts';

/** What a user's function is given. */
export interface RankContext<Args = unknown> {
  /** The number of this rank, from 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  readonly group: ProcessGroup;
  /** What `spawn()` was given for all ranks. */
  readonly args: Args;
}

/** The function that each rank runs. */
export type RankMain<Args = never, Result = unknown> = (context: RankContext<Args>) => Result | Promise<Result>;

/** What a thread is told before anything else. */
export interface RankStart {
  readonly syncbnRank: number;
  readonly job: string;
  readonly ports: readonly (MessagePort | null)[];
  readonly memory: SharedArrayBuffer | null;
  readonly timeout: number;
  readonly args: unknown;
  /** The program that has the function as its default export; `null`: it is in this thread already. */
  readonly url: string | null;
  /** Where a program finds this library. */
  readonly library: string;
}

/** What a thread tells: at the start, which lock it holds while it lives, and at the end what has become of it. */
export type RankNews = { readonly lock: string } | RankEnd;

export type RankEnd = { readonly result: unknown } | { readonly failure: Told };

/** An error as it travels between threads. */
export interface Told {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** Of an error that is the consequence of another rank's. */
  readonly isConsequence: boolean;
}

export function toldOf(error: unknown): Told {
  const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  return { name, message, stack, isConsequence: name === 'PeerFailedError' || name === 'PeerLostError' };
}

/** The group of the thread that `spawn()` has started; `null` elsewhere. */
let spawnedGroup: ProcessGroup | null = null;

export function groupOfThread(): ProcessGroup | null {
  return spawnedGroup;
}

/** Where a thread tells what has become of it. */
export interface Parent {
  postMessage(message: unknown): void;
}

/**
 * Runs a rank. The programs of {@link spawn} call it; nobody else has to.
 * @internal
 */
export async function startRank(start: RankStart, parent: Parent, given: RankMain | null = null): Promise<void> {
  const { syncbnRank: rank, job, ports, memory, timeout, args, url } = start;
  const group = new ProcessGroup(portsTransport({ rank, job, ports, memory }), { timeout });
  spawnedGroup = group;
  await holdLock(`${job}, rank ${rank}`, parent);
  let end: RankEnd;
  try {
    const main = given ?? (await importMain(url ?? ''));
    // The caller of spawn() says what the arguments are.
    const result: unknown = await main?.({ rank, size: group.size, group, args: args as never });
    await group.destroy();
    end = { result };
  } catch (error) {
    end = { failure: toldOf(error) };
    // First, since the others fail at once when they hear of it.
    parent.postMessage(end);
    group.abort(error);
    return;
  }
  try {
    parent.postMessage(end);
  } catch (error) {
    parent.postMessage({ failure: toldOf(error) });
  }
}

/**
 * Pages are not told when a worker ends by itself. A lock is free when its holder is no more, whatever the reason; where a platform has no
 * locks, only the time-outs of the others tell.
 */
async function holdLock(name: string, parent: Parent): Promise<void> {
  const { navigator } = globalThis as { readonly navigator?: { readonly locks?: LockManager } };
  const locks = navigator?.locks;
  if (locks !== undefined) {
    await new Promise<void>((resolve) => {
      const hold = (): Promise<never> => {
        parent.postMessage({ lock: name } satisfies RankNews);
        resolve();
        return new Promise(() => undefined);
      };
      // A page may refuse locks, in a frame without an origin for example.
      locks.request(name, hold).catch(() => resolve());
    });
  }
}

/** @returns the default export; a program without one has run when it has been imported. */
async function importMain(url: string): Promise<RankMain | null> {
  const { default: main } = (await import(/* webpackIgnore: true */ /* @vite-ignore */ url)) as { default?: unknown };
  return typeof main === 'function' ? (main as RankMain) : null;
}

/** A thread whose program calls {@link startRank} sets this, so that {@link spawnable} does not. */
export const startedKey = 'syncbnRankIsStarted';

/**
 * Marks the function that each rank runs, in a file that is the program of a worker, as bundlers want it. Elsewhere it does nothing.
 *
 * @example
 * ```ts
 * await spawn(() => new Worker(new URL('./train.ts', import.meta.url), { type: 'module' }));
 * // train.ts
 * export default spawnable(async ({ rank, group }) => { … });
 * ```
 * @returns the function
 */
export function spawnable<Args, Result>(main: RankMain<Args, Result>): RankMain<Args, Result> {
  const scope = globalThis as unknown as WorkerScope;
  if (scope[startedKey] === true) {
    return main;
  }
  if (isNode()) {
    void listenInNode(main);
  } else if (scope.WorkerGlobalScope !== undefined) {
    scope.addEventListener('message', function listen({ data }: MessageEvent<unknown>) {
      if (isStart(data)) {
        scope.removeEventListener('message', listen);
        void startRank(data, scope, main);
      }
    });
  }
  return main;
}

/** The globals of a worker. */
interface WorkerScope extends Parent {
  readonly WorkerGlobalScope?: unknown;
  readonly [startedKey]?: boolean;
  addEventListener(type: 'message', listen: (event: MessageEvent<unknown>) => void): void;
  removeEventListener(type: 'message', listen: (event: MessageEvent<unknown>) => void): void;
}

interface NodeThread {
  readonly parentPort: (Parent & { on(type: 'message', listen: (data: unknown) => void): void; unref(): void }) | null;
}

async function listenInNode(main: RankMain): Promise<void> {
  const { parentPort } = (await importFromPlatform('node:worker_threads')) as NodeThread;
  parentPort?.on('message', (data) => {
    if (isStart(data)) {
      parentPort.unref();
      void startRank(data, parentPort, main);
    }
  });
}

function isStart(data: unknown): data is RankStart {
  return typeof data === 'object' && data !== null && 'syncbnRank' in data;
}

/** The program of a thread that `spawn()` has started. */

import { loadOnce } from '../load_once.ts';
import { importFromPlatform, isNode } from '../platform_modules.ts';
import type { RankMain } from './rank_main.ts';
import { type Parent, type RankNews, type RankStart, startedKey, toldOf } from './rank_news.ts';

/** What only a thread that is a rank needs. */
const loadRun = loadOnce(() => import('./run_rank.ts'));

/**
 * Runs a rank. The programs of `spawn()` call it; nobody else has to.
 * @internal
 */
export async function startRank(start: RankStart, parent: Parent, main: RankMain | null = null): Promise<void> {
  try {
    const { runRank } = await loadRun();
    await runRank(start, parent, main);
  } catch (error) {
    parent.postMessage({ failure: toldOf(error) } satisfies RankNews);
  }
}

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

/** Starts ranks as threads of this program; PyTorch's `torch.multiprocessing.spawn`. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { loadOnce } from '../load_once.ts';
import type { SpawnedWorker, SpawnOptions } from './spawn_options.ts';

const spawnOptions: KnownOptions<SpawnOptions> = {
  nprocs: 'number',
  args: 'object',
  timeout: 'number',
  sharedMemory: 'boolean',
  env: 'object',
};

/** What only a program that starts threads needs. */
const loadStart = loadOnce(() => import('./start_ranks.ts'));

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
  const { nprocs } = options;
  if (nprocs !== undefined && (!Number.isSafeInteger(nprocs) || nprocs < 1)) {
    throw new RangeError(`spawn(): expected a positive number of nprocs, got ${describeValue(nprocs)}`);
  }
  if (typeof program !== 'function' && typeof program !== 'string' && !(program instanceof URL)) {
    throw new TypeError(
      `spawn(): expected the URL of a module or a function that makes a worker, got ${describeValue(program)}`,
    );
  }
  const { startRanks } = await loadStart();
  return startRanks<Result>(program, options);
}

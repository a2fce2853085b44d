/** Runs a rank in a thread that `spawn()` has started: makes the group, calls the user's function, and tells what has become of it. */

import { setGroupOfThread } from './group_of_thread.ts';
import { portsTransport } from './ports.ts';
import { ProcessGroup } from './process_group.ts';
import type { RankMain } from './rank_main.ts';
import { type Parent, type RankEnd, type RankNews, type RankStart, toldOf } from './rank_news.ts';

/** @param given - the user's function; `null`: it is the default export of a program. */
export async function runRank(start: RankStart, parent: Parent, given: RankMain | null): Promise<void> {
  const { syncbnRank: rank, job, ports, memory, timeout, args, url } = start;
  await holdLock(`${job}, rank ${rank}`, parent);
  let group: ProcessGroup | null = null;
  let end: RankEnd;
  try {
    group = await ProcessGroup.over(portsTransport({ rank, job, ports, memory }), { timeout });
    setGroupOfThread(group);
    const main = given ?? (await importMain(url ?? ''));
    // The caller of spawn() says what the arguments are.
    const result: unknown = await main?.({ rank, size: group.size, group, args: args as never });
    await group.destroy();
    end = { result };
  } catch (error) {
    end = { failure: toldOf(error) };
    // First, since the others fail at once when they hear of it.
    parent.postMessage(end);
    group?.abort(error);
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

/** How the ranks of a job find each other; PyTorch's `init_process_group`. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { checkTimeout, loadCollectives, ProcessGroup } from './process_group.ts';
import { groupOfThread } from './group_of_thread.ts';
import type { Transport } from './transport.ts';

/** Which rank of which job a process is. */
export interface Rendezvous {
  /** Names the job: letters, digits, `-` and `_`. */
  readonly job: string;
  readonly rank: number;
  readonly worldSize: number;
  /** How long the others are waited for, in seconds. */
  readonly timeout: number;
}

/** A way of carrying frames between processes. */
export interface Backend {
  /** Resolves when all ranks are there. @throws RendezvousError on every rank when one is refused or does not come. */
  connect(place: Rendezvous): Promise<Transport>;
}

/** Options of {@link initProcessGroup}. */
export interface InitProcessGroupOptions {
  /** `nats()` of `syncbn/distributed/nats`, for example; default: the ports of the thread that `spawn()` has started. */
  readonly backend?: Backend;
  /** Names the job, the same on all ranks and another for each run. Default `'default'`. */
  readonly job?: string;
  /** The number of this process, from 0; default: the environment variable `RANK`. */
  readonly rank?: number;
  /** How many processes there are; default: the environment variable `WORLD_SIZE`. */
  readonly worldSize?: number;
  /** How long a rank waits for another, in seconds, at the start and later; default 60. */
  readonly timeout?: number;
}

const initOptions: KnownOptions<InitProcessGroupOptions> = {
  backend: 'object',
  job: 'string',
  rank: 'number',
  worldSize: 'number',
  timeout: 'number',
};

/**
 * Meets the other ranks of a job. Resolves when all are there.
 *
 * @example
 * ```ts
 * const group = await initProcessGroup({ backend: nats({ servers: 'wss://broker.example' }), job: 'digits-7', rank, worldSize: 4 });
 * ```
 * @throws RendezvousError when a rank does not come, or is refused; TypeError or RangeError for wrong options.
 */
export async function initProcessGroup(options: InitProcessGroupOptions = {}): Promise<ProcessGroup> {
  const where = 'initProcessGroup()';
  checkOptions(where, options, initOptions);
  const { backend, job = 'default', timeout = 60 } = options;
  if (backend === undefined) {
    const group = groupOfThread();
    if (group === null) {
      throw new TypeError(
        `${where}: expected a backend, such as nats() of syncbn/distributed/nats, outside of a thread of spawn()`,
      );
    }
    return group;
  }
  if (typeof (backend as Partial<Backend> | null)?.connect !== 'function') {
    throw new TypeError(`${where}: expected a backend with connect(), got ${describeValue(backend)}`);
  }
  const { rank = fromEnvironment('RANK'), worldSize = fromEnvironment('WORLD_SIZE') } = options;
  if (
    !Number.isSafeInteger(worldSize) ||
    worldSize < 1 ||
    !Number.isSafeInteger(rank) ||
    rank < 0 ||
    rank >= worldSize
  ) {
    throw new RangeError(
      `${where}: expected a rank from 0 to worldSize - 1, as options or in RANK and WORLD_SIZE, got rank ${rank} and worldSize ${worldSize}`,
    );
  }
  if (typeof job !== 'string' || !/^[\w-]{1,64}$/.test(job)) {
    throw new RangeError(`${where}: expected job to be 1 to 64 letters, digits, - and _, got ${describeValue(job)}`);
  }
  checkTimeout(timeout);
  // Before there is a connection, so that nobody waits for a rank that cannot load what a group needs.
  await loadCollectives();
  const group = await ProcessGroup.over(await backend.connect({ job, rank, worldSize, timeout }), { timeout });
  try {
    await group.barrier();
    return group;
  } catch (error) {
    // Nobody else could close the connection.
    await group.destroy();
    throw error;
  }
}

function fromEnvironment(name: string): number {
  const { process } = globalThis as { readonly process?: { readonly env?: Readonly<Record<string, string>> } };
  return Number(process?.env?.[name] ?? Number.NaN);
}

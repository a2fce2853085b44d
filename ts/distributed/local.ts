/** Ranks within one thread, over the frames of all backends: for tests, and to try what runs on several machines later. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { ProcessGroup, type ProcessGroupOptions } from './process_group.ts';
import { PeerFailedError } from './process_group_errors.ts';
import type { Liveness, Transport } from './transport.ts';

export interface LocalGroupOptions extends ProcessGroupOptions {
  /** What stands between a rank and the others: a transport that loses frames, for example. */
  readonly wrap?: (transport: Transport) => Transport;
}

const localGroupOptions: KnownOptions<LocalGroupOptions> = { timeout: 'number', wrap: 'function' };

/** No frame is longer. */
const MAX_FRAME = 2 ** 22;

let jobs = 0;

/**
 * The ranks of a new group, in order, each for one of several parts of a program that run at once; {@link runRanks} runs them. They share
 * a thread and thus one innermost `scope()` and one `noGrad()`: put these around all ranks, not into each.
 *
 * @param size - how many ranks.
 * @throws RangeError or TypeError for what is no number of ranks or seconds.
 */
export async function createLocalGroups(
  size: number,
  options: LocalGroupOptions = {},
): Promise<readonly ProcessGroup[]> {
  checkOptions('createLocalGroups()', options, localGroupOptions);
  const { wrap = (transport: Transport) => transport, ...others } = options;
  return Promise.all(localTransports(size).map((transport) => ProcessGroup.over(wrap(transport), others)));
}

/**
 * Runs one function for every rank of a new group, all at once. When one fails, all others do: those that wait for it are told why.
 *
 * @example
 * ```ts
 * const losses = await runRanks(2, async (processGroup) => {
 *   const net = makeNetwork({ processGroup });
 *   return train(net, shardOf(data, processGroup.rank));
 * });
 * ```
 *
 * @returns what the ranks returned, in order.
 * @throws what the first rank that failed has thrown.
 */
export async function runRanks<T>(
  size: number,
  run: (group: ProcessGroup) => T | Promise<T>,
  options: LocalGroupOptions = {},
): Promise<T[]> {
  const failures: unknown[] = [];
  const groups = await createLocalGroups(size, options);
  const runs = groups.map(async (group) => {
    try {
      return await run(group);
    } catch (error) {
      failures.push(error);
      group.abort(error);
      throw error;
    }
  });
  const results = await Promise.allSettled(runs);
  await Promise.all(groups.map((group) => group.destroy()));
  if (failures.length > 0) {
    // Those that are told of a failure may end before the rank that has failed.
    throw failures.find((error) => !(error instanceof PeerFailedError)) ?? failures[0];
  }
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** The transports of a new job, in order of ranks. */
function localTransports(size: number): Transport[] {
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new RangeError(`createLocalGroups(): expected a positive number of ranks, got ${describeValue(size)}`);
  }
  jobs += 1;
  const job = `local ${jobs}`;
  const ends = Array.from({ length: size }, () => new LocalEnd());
  return ends.map((own, rank): Transport => ({
    rank,
    size,
    job,
    maxFrame: MAX_FRAME,
    copiesFrames: 'at once',
    publish: (frame) => ends.forEach((end) => end !== own && end.deliver(frame.slice())),
    send: (to, frame) => ends[to]?.deliver(frame.slice()),
    onFrame: (receive) => own.listen(receive),
    alive: (other): Promise<Liveness> => Promise.resolve(ends[other]?.isClosed === true ? 'gone' : 'here'),
    close: () => {
      own.isClosed = true;
      return Promise.resolve();
    },
  }));
}

/** Where the frames for one rank come. */
class LocalEnd {
  isClosed = false;
  readonly #early: Uint8Array[] = [];
  #receive: ((frame: Uint8Array) => void) | null = null;

  listen(receive: (frame: Uint8Array) => void): void {
    this.#receive = receive;
    for (const frame of this.#early.splice(0)) {
      this.deliver(frame);
    }
  }

  /** Not at once: the sender goes on first, as everywhere else. */
  deliver(frame: Uint8Array): void {
    const receive = this.#receive;
    if (receive === null) {
      this.#early.push(frame);
    } else {
      queueMicrotask(() => !this.isClosed && receive(frame));
    }
  }
}

/** Process groups within one program: several ranks that meet in memory, for tests, and to try what runs on several machines later. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { CollectiveMismatchError, type ProcessGroup } from '../index.ts';
import { uint8ArrayOf } from '../typed_array.ts';
import { GroupTimeoutError, PeerFailedError } from './process_group_errors.ts';

export interface InProcessGroupOptions {
  /** How long the first rank in an exchange waits for the last, in seconds; `Infinity`: for ever. Default 15. */
  readonly timeoutSeconds?: number;
}

const groupOptions: KnownOptions<InProcessGroupOptions> = { timeoutSeconds: 'number' };

/** A rank of a group within one program. */
export interface InProcessGroup extends ProcessGroup {
  abort(reason: unknown): void;
}

/**
 * How long all ranks must have waited, not all in one exchange, until that is a mismatch. Not at once: a rank whose forward has several
 * branches may wait in one of them while another is still on its way.
 */
const CROSSING_DELAY_MS = 1000;

/** The longest delay that timers keep: longer ones fire at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/**
 * The ranks of a new group, in order. Each is for one of several parts of a program that run at once; `runRanks()` runs them. They share
 * a thread and thus one innermost `scope()` and one `noGrad()`: put these around all ranks, not into each.
 *
 * @param size - how many ranks.
 * @throws RangeError or TypeError for what is no number of ranks or seconds.
 */
export function createInProcessGroups(size: number, options: InProcessGroupOptions = {}): readonly InProcessGroup[] {
  checkOptions('createInProcessGroups()', options, groupOptions);
  const { timeoutSeconds = 15 } = options;
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new RangeError(`createInProcessGroups(): expected a positive number of ranks, got ${String(size)}`);
  }
  if (typeof timeoutSeconds !== 'number' || !(timeoutSeconds > 0)) {
    throw new RangeError(`timeoutSeconds: expected more than 0 seconds, got ${String(timeoutSeconds)}`);
  }
  return new Meeting(size, timeoutSeconds).groups;
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
  run: (group: InProcessGroup) => T | Promise<T>,
  options: InProcessGroupOptions = {},
): Promise<T[]> {
  const failed: number[] = [];
  const runs = createInProcessGroups(size, options).map(async (group) => {
    try {
      return await run({ ...group, abort: noting(group, failed) });
    } catch (error) {
      noting(group, failed)(error);
      throw error;
    }
  });
  const results = await Promise.allSettled(runs);
  const [first] = failed;
  const outcomes = first === undefined ? results : [...results.slice(first), ...results.slice(0, first)];
  const failure = outcomes.find((result) => result.status === 'rejected');
  if (failure !== undefined) {
    throw failure.reason;
  }
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** {@link InProcessGroup.abort} that notes who has called it, since the failures of others may be consequences of the first. */
function noting(group: InProcessGroup, failed: number[]): InProcessGroup['abort'] {
  return (reason) => {
    failed.push(group.rank);
    group.abort(reason);
  };
}

/** One exchange, until all ranks have come. */
interface Exchange {
  readonly tag: string;
  readonly arrivals: Map<number, Arrival>;
  readonly timer: ReturnType<typeof setTimeout> | null;
}

/** A rank that waits. */
interface Arrival {
  readonly bytes: Uint8Array;
  readonly resolve: (all: readonly Uint8Array[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Where the ranks of one group meet. */
class Meeting {
  /** In order of ranks. */
  readonly groups: readonly InProcessGroup[];
  private readonly size: number;
  private readonly timeoutSeconds: number;
  /** Those that somebody waits in, by tag and number. */
  private readonly exchanges = new Map<string, Exchange>();
  /** How often each rank has used each tag. */
  private readonly uses: readonly Map<string, number>[];
  private crossingTimer: ReturnType<typeof setTimeout> | null = null;
  /** What each rank is told from now on, once one has failed. */
  private failureOf: ((rank: number) => unknown) | null = null;

  constructor(size: number, timeoutSeconds: number) {
    this.size = size;
    this.timeoutSeconds = timeoutSeconds;
    this.uses = Array.from({ length: size }, () => new Map<string, number>());
    this.groups = Array.from({ length: size }, (_, rank) => ({
      rank,
      size,
      allGather: (bytes, tag) => this.allGather(rank, bytes, tag),
      abort: (reason) => this.abort(rank, reason),
    }));
  }

  private async allGather(rank: number, given: Uint8Array, tag: string): Promise<readonly Uint8Array[]> {
    const bytes = uint8ArrayOf(given)?.slice();
    if (bytes === undefined || typeof tag !== 'string') {
      const wrong =
        bytes === undefined ? `bytes as a Uint8Array, got ${describeValue(given)}` : `a tag, got ${describeValue(tag)}`;
      throw new TypeError(`allGather(): expected ${wrong}`);
    }
    if (this.failureOf !== null) {
      throw this.failureOf(rank);
    }
    const use = this.uses[rank]?.get(tag) ?? 0;
    this.uses[rank]?.set(tag, use + 1);
    const key = JSON.stringify([tag, use]);
    const exchange = this.exchanges.get(key) ?? this.begin(key, tag);
    const all = new Promise<readonly Uint8Array[]>((resolve, reject) => {
      exchange.arrivals.set(rank, { bytes, resolve, reject });
    });
    if (exchange.arrivals.size === this.size) {
      this.complete(key, exchange);
    }
    this.watchForCrossing();
    return all;
  }

  /** Only the first failure is told, for later ones may be its consequences. */
  private abort(rank: number, reason: unknown): void {
    this.fail((other) => (other === rank ? reason : new PeerFailedError(rank, reason)));
  }

  private begin(key: string, tag: string): Exchange {
    const milliseconds = this.timeoutSeconds * 1000;
    const timer =
      milliseconds === Infinity ? null : setTimeout(() => this.expire(key), Math.min(milliseconds, LONGEST_DELAY_MS));
    const exchange: Exchange = { tag, arrivals: new Map(), timer };
    this.exchanges.set(key, exchange);
    return exchange;
  }

  private complete(key: string, { arrivals, timer }: Exchange): void {
    this.exchanges.delete(key);
    if (timer !== null) {
      clearTimeout(timer);
    }
    const all = Array.from({ length: this.size }, (_, rank) => arrivals.get(rank)?.bytes ?? new Uint8Array());
    arrivals.forEach(({ resolve }) => resolve(all));
  }

  private expire(key: string): void {
    const exchange = this.exchanges.get(key);
    if (exchange !== undefined) {
      const missing = this.ranks().filter((rank) => !exchange.arrivals.has(rank));
      this.fail(() => new GroupTimeoutError(missing, exchange.tag, this.timeoutSeconds));
    }
  }

  private fail(failureOf: (rank: number) => unknown): void {
    if (this.failureOf !== null) {
      return;
    }
    this.failureOf = failureOf;
    this.stopWatching();
    for (const { arrivals, timer } of this.exchanges.values()) {
      if (timer !== null) {
        clearTimeout(timer);
      }
      arrivals.forEach(({ reject }, rank) => reject(failureOf(rank)));
    }
    this.exchanges.clear();
  }

  /** Begins to watch when all ranks wait and none can go on, and anew with each arrival. */
  private watchForCrossing(): void {
    this.stopWatching();
    if (this.isCrossed()) {
      this.crossingTimer = setTimeout(() => this.rejectAsCrossed(), CROSSING_DELAY_MS);
    }
  }

  private stopWatching(): void {
    if (this.crossingTimer !== null) {
      clearTimeout(this.crossingTimer);
      this.crossingTimer = null;
    }
  }

  private rejectAsCrossed(): void {
    const tagsOf = (rank: number): string =>
      [...this.exchanges.values()]
        .filter(({ arrivals }) => arrivals.has(rank))
        .map(({ tag }) => tag)
        .join(' and ');
    const differing = (rank: number): number => this.ranks().find((other) => tagsOf(other) !== tagsOf(rank)) ?? rank;
    const texts = this.ranks().map(tagsOf);
    this.fail((rank) => {
      const other = differing(rank);
      return new CollectiveMismatchError(other, texts[rank] ?? '', 'all ranks in it', texts[other] ?? '');
    });
  }

  private isCrossed(): boolean {
    const waiting = new Set([...this.exchanges.values()].flatMap(({ arrivals }) => [...arrivals.keys()]));
    return this.exchanges.size > 1 && waiting.size === this.size;
  }

  private ranks(): number[] {
    return Array.from({ length: this.size }, (_, rank) => rank);
  }
}

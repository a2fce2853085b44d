/** What is measured of collectives, and how: the same here, with bare messages and with PyTorch. */

/** Of an all-gather: statistics of a layer with 512 channels. */
export const GATHER_BYTES = 4096;
export const GATHERS = 10_000;
/** Of an all-reduce: 25 MB of gradients, as of a network of six million parameters. */
export const REDUCE_VALUES = 6_250_000;
export const REDUCTIONS = 11;

/** In milliseconds. */
export interface Times {
  /** Of an all-gather, the median. */
  readonly gather: number;
  /** Of an all-reduce, at best. */
  readonly reduce: number;
}

/** Without the first half, in which code is compiled; sorted. */
function settled(times: readonly number[]): readonly number[] {
  return times.slice(Math.floor(times.length / 2)).sort((a, b) => a - b);
}

/** The median of times that are settled. */
export function typicalOf(times: readonly number[]): number {
  const sorted = settled(times);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** In milliseconds. */
async function timesOf(rounds: number, run: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times;
}

export async function median(rounds: number, run: () => Promise<unknown>): Promise<number> {
  return typicalOf(await timesOf(rounds, run));
}

export async function fastest(rounds: number, run: () => Promise<unknown>): Promise<number> {
  return settled(await timesOf(rounds, run))[0] ?? NaN;
}

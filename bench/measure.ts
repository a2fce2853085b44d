/** Measures one workload with all contenders that take part in it, in turns. */

import type { Contender } from './contenders.ts';
import type { Counts, Pass, Timing } from './engine.ts';
import type { EnginePool } from './engine_pool.ts';
import type { CommandName, RequestOf, RunningEngine } from './protocol.ts';
import { summarize, type Summary } from './statistics.ts';
import type { Workload } from './workloads.ts';

/** What is needed of the {@link EnginePool}. */
export interface Engines extends Pick<EnginePool, 'discard'> {
  get(engine: string): Promise<Pick<RunningEngine, 'ask'>>;
}

/** How long a contender is measured on a workload. */
export interface Budget {
  /** Seconds in which code that is compiled while it runs gets hot. */
  readonly warmUpSeconds: number;
  /** Seconds of measurement after which a contender is done, unless it has too few samples. */
  readonly seconds: number;
  readonly minimumSamples: number;
  readonly maximumSamples: number;
  /** A sample is at least this long, by repetition: shorter ones measure the clock and what the other contenders left in the caches. */
  readonly sampleSeconds: number;
}

/** One contender's times of one pass, in seconds. */
export interface Measurement extends Summary {
  readonly workload: string;
  readonly contender: string;
  readonly pass: Pass;
  readonly samples: readonly number[];
}

/** What one step of a contender asks of threads or of a GPU. */
export interface StepCount extends Counts {
  readonly workload: string;
  readonly contender: string;
}

/** An engine that could not do a workload, and why. Its other variants are left out as well. */
export interface Failure {
  readonly workload: string;
  readonly engine: string;
  readonly reason: string;
}

/** What has been measured. */
export interface Findings {
  readonly measurements: readonly Measurement[];
  readonly counts: readonly StepCount[];
  readonly failures: readonly Failure[];
}

const MAXIMUM_CALLS = 500;

const WARM_UP_STEPS = 3;
/** A step this long has run its loops often enough to be compiled. */
const LONG_STEP_SECONDS = 1;

interface Entry {
  readonly contender: Contender;
  readonly timings: Timing[];
  calls: number;
  secondsSpent: number;
  count: Counts | null;
}

export async function measureWorkload(
  workload: Workload,
  contenders: readonly Contender[],
  engines: Engines,
  budget: Budget,
): Promise<Findings> {
  const entries = contenders
    .filter(({ takes }) => takes(workload))
    .map((contender): Entry => ({ contender, timings: [], calls: 1, secondsSpent: 0, count: null }));
  const failures: Failure[] = [];
  const hasFailed = ({ contender }: Entry) => failures.some(({ engine }) => engine === contender.engine);
  const attempt = async (entry: Entry, action: (entry: Entry) => Promise<unknown>) => {
    if (hasFailed(entry)) return;
    const { engine } = entry.contender;
    try {
      await action(entry);
    } catch (error) {
      failures.push({ workload: workload.name, engine, reason: textOf(error) });
      // What is left in the process after a failure, memory above all, is unknown.
      engines.discard(engine);
    }
  };
  const ask = async <C extends CommandName>({ contender }: Entry, request: RequestOf<C>) =>
    (await engines.get(contender.engine)).ask(request);
  const time = (entry: Entry) =>
    ask<'time'>(entry, { command: 'time', variant: entry.contender.variant, calls: entry.calls });
  /** The first contender of each engine, which speaks for all of them. */
  const firsts = entries.filter(
    ({ contender }, i) => entries.findIndex((other) => other.contender.engine === contender.engine) === i,
  );
  const each = async (some: readonly Entry[], action: (entry: Entry) => Promise<unknown>) => {
    for (const entry of some) await attempt(entry, action);
  };

  const { layers, chainLength } = workload;
  await each(firsts, (entry) => ask<'load'>(entry, { command: 'load', layers, chainLength }));
  await each(entries, (entry) => warmUp(entry, time, budget));
  await interleave(
    entries,
    (entry) => hasFailed(entry) || isMeasured(entry, budget),
    (entry) => attempt(entry, () => takeSample(entry, time)),
  );
  await each(entries, async (entry) => {
    entry.count = await ask<'count'>(entry, { command: 'count', variant: entry.contender.variant });
  });
  await each(firsts, (entry) => ask<'unload'>(entry, { command: 'unload' }));
  const measured = entries.filter((entry) => !hasFailed(entry));
  return {
    measurements: measured.flatMap((entry) => measurementsOf(workload, entry)),
    counts: measured.flatMap(({ contender, count }) =>
      count === null ? [] : [{ workload: workload.name, contender: contender.name, ...count }],
    ),
    failures,
  };
}

/**
 * The order of measurements: A B C A B C …, so that whatever disturbs the machine for a while disturbs all alike. A round visits, in
 * the order given, each one that is not done yet.
 * @param isDone - asked before every measurement.
 */
export async function interleave<T>(
  contenders: readonly T[],
  isDone: (contender: T) => boolean,
  measure: (contender: T) => Promise<unknown>,
): Promise<void> {
  let open = contenders;
  while (open.length > 0) {
    for (const contender of open) {
      if (!isDone(contender)) await measure(contender);
    }
    open = open.filter((contender) => !isDone(contender));
  }
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

type Time = (entry: Entry) => Promise<Timing>;

/** Runs until the code is compiled, and finds how many calls make a sample. */
async function warmUp(entry: Entry, time: Time, { warmUpSeconds, sampleSeconds }: Budget): Promise<void> {
  let spent = 0;
  for (let steps = 0; steps < WARM_UP_STEPS || spent < warmUpSeconds; steps++) {
    const seconds = secondsOf(await time(entry));
    spent += seconds * entry.calls;
    entry.calls = Math.min(MAXIMUM_CALLS, Math.max(1, Math.ceil(sampleSeconds / seconds)));
    if (seconds > LONG_STEP_SECONDS) return;
  }
}

async function takeSample(entry: Entry, time: Time): Promise<void> {
  const timing = await time(entry);
  entry.timings.push(timing);
  entry.secondsSpent += secondsOf(timing) * entry.calls;
}

function secondsOf(timing: Timing): number {
  return timing.step ?? timing.forward ?? 0;
}

function isMeasured({ timings, secondsSpent }: Entry, budget: Budget): boolean {
  if (timings.length < budget.minimumSamples) return false;
  return timings.length >= budget.maximumSamples || secondsSpent >= budget.seconds;
}

function measurementsOf(workload: Workload, { contender, timings }: Entry): Measurement[] {
  return contender.passes.map((pass) => {
    const samples = timings.map((timing) => timing[pass] ?? Number.NaN);
    return { workload: workload.name, contender: contender.name, pass, samples, ...summarize(samples) };
  });
}

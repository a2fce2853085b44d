/** Measures one workload with all contenders that take part in it. */

import type { ContenderName, EngineName, NamedContender } from './contenders.ts';
import type { Pass, Timing } from './engine.ts';
import type { EnginePool } from './engine_pool.ts';
import type { RunningEngine } from './engine_process.ts';
import { interleave } from './interleave.ts';
import type { Request } from './protocol.ts';
import { summarize, type Summary } from './statistics.ts';
import { elementsOf, type Workload } from './workloads.ts';

/** What is needed of the {@link EnginePool}. */
export interface Engines extends Pick<EnginePool, 'discard'> {
  get(engine: EngineName): Promise<Pick<RunningEngine, 'ask'>>;
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
  readonly contender: ContenderName;
  readonly pass: Pass;
  readonly samples: readonly number[];
}

/** An engine that could not do a workload, and why. Its other variants are left out as well. */
export interface Failure {
  readonly workload: string;
  readonly engine: EngineName;
  readonly reason: string;
}

const MAXIMUM_CALLS = 500;

const WARM_UP_STEPS = 3;
/** A step this long has run its loops often enough to be compiled. */
const LONG_STEP_SECONDS = 1;

interface Entry {
  readonly contender: NamedContender;
  readonly timings: Timing[];
  calls: number;
  secondsSpent: number;
}

/**
 * Measures one workload.
 * @param afterwards - runs once for each contender of an engine that has not failed, while everything is still in place.
 */
export async function measureWorkload(
  workload: Workload,
  contenders: readonly NamedContender[],
  engines: Engines,
  budget: Budget,
  afterwards: (contender: NamedContender) => Promise<void> = () => Promise.resolve(),
): Promise<{ measurements: Measurement[]; failures: Failure[] }> {
  const entries = contenders
    .filter(({ maximumElements = Infinity }) => elementsOf(workload) <= maximumElements)
    .map((contender): Entry => ({ contender, timings: [], calls: 1, secondsSpent: 0 }));
  const failures: Failure[] = [];
  const hasFailed = ({ contender }: Entry) => failures.some(({ engine }) => engine === contender.engine);
  const attempt = async ({ contender: { engine } }: Entry, action: () => Promise<unknown>) => {
    try {
      await action();
    } catch (error) {
      failures.push({
        workload: workload.name,
        engine,
        reason: error instanceof Error ? error.message : String(error),
      });
      // What is left in the process after a failure, memory above all, is unknown.
      engines.discard(engine);
    }
  };
  /** Asks each engine once, by its first contender that has not failed. */
  const askEngines = async (request: Extract<Request, { command: 'load' | 'unload' }>) => {
    const firsts = new Map([...entries].reverse().map((entry) => [entry.contender.engine, entry]));
    for (const entry of [...firsts.values()].reverse()) {
      if (!hasFailed(entry)) await attempt(entry, async () => (await engines.get(entry.contender.engine)).ask(request));
    }
  };

  await askEngines({ command: 'load', layers: workload.layers });
  for (const entry of entries) if (!hasFailed(entry)) await attempt(entry, () => warmUp(entry, engines, budget));
  await interleave(
    entries,
    (entry) => hasFailed(entry) || isMeasured(entry, budget),
    (entry) => attempt(entry, () => takeSample(entry, engines)),
  );
  for (const entry of entries) if (!hasFailed(entry)) await attempt(entry, () => afterwards(entry.contender));
  await askEngines({ command: 'unload' });
  const measured = entries.filter((entry) => !hasFailed(entry));
  return { measurements: measured.flatMap((entry) => measurementsOf(workload, entry)), failures };
}

/** Runs until the code is compiled, and finds how many calls make a sample. */
async function warmUp(entry: Entry, engines: Engines, { warmUpSeconds, sampleSeconds }: Budget): Promise<void> {
  let spent = 0;
  for (let steps = 0; steps < WARM_UP_STEPS || spent < warmUpSeconds; steps++) {
    const seconds = secondsOf(await time(entry, engines));
    spent += seconds * entry.calls;
    entry.calls = Math.min(MAXIMUM_CALLS, Math.max(1, Math.ceil(sampleSeconds / seconds)));
    if (seconds > LONG_STEP_SECONDS) return;
  }
}

async function takeSample(entry: Entry, engines: Engines): Promise<void> {
  const timing = await time(entry, engines);
  entry.timings.push(timing);
  entry.secondsSpent += secondsOf(timing) * entry.calls;
}

async function time({ contender, calls }: Entry, engines: Engines): Promise<Timing> {
  return (await engines.get(contender.engine)).ask({ command: 'time', variant: contender.variant, calls });
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

/** `npm run bench -- --against …`: this build and another one in turns, row by row. */

import { writeFileSync } from 'node:fs';
import type { Pass } from './engine.ts';
import { EnginePool } from './engine_pool.ts';
import { startNodeEngine } from './engine_process.ts';
import { type Budget, type Failure, type Measurement, measureWorkload } from './measure.ts';
import type { Options } from './options.ts';
import { findOtherBuild } from './other_build.ts';
import { milliseconds, table } from './report.ts';
import { percentile } from './statistics.ts';

/** How much longer than before a row may take. */
const TOLERANCE = 0.02;

/** What marks the engines and contenders of the other build. */
const OTHER = 'other/';

/** Engines that run this library. */
const OWN_ENGINES = ['layers', 'replicas'];

/** One row of the comparison. */
export interface Row {
  readonly workload: string;
  readonly contender: string;
  readonly pass: Pass;
  /** Seconds at best, of all launches. */
  readonly ours: number;
  readonly others: number;
  /** Our time over the other build's, one ratio per launch. */
  readonly ratios: readonly number[];
}

/**
 * Measures this library's contenders of both builds in turns. Processes of one program differ among themselves, by where memory and
 * code happen to lie, so everything is done several times with new processes; the spread of the ratios shows by how much.
 * @param place - the other build: see {@link findOtherBuild}.
 * @returns the exit code: 1 where a row is slower, or an engine has failed.
 */
export async function compareBuilds(options: Options, place: string): Promise<number> {
  const other = findOtherBuild(place);
  const own = options.contenders.filter(({ engine }) => OWN_ENGINES.includes(engine));
  const pairs = own.flatMap((one) => [one, { ...one, name: OTHER + one.name, engine: OTHER + one.engine }]);
  const budget = budgetOf(options);
  const rows: Row[] = [];
  const failures: Failure[] = [];
  for (const workload of options.workloads) {
    const launches: (readonly Measurement[])[] = [];
    for (let launch = 0; launch < options.launches; launch++) {
      const engines = new EnginePool((engine) =>
        engine.startsWith(OTHER) ? startNodeEngine(engine.slice(OTHER.length), other.entry) : startNodeEngine(engine),
      );
      try {
        const inTurns = launch % 2 === 0 ? pairs : [...pairs].reverse();
        const found = await measureWorkload(workload, inTurns, engines, budget);
        launches.push(found.measurements);
        failures.push(...found.failures);
      } finally {
        engines.stop();
      }
    }
    const found = rowsOf(launches);
    if (found.length > 0) console.log(comparisonTable(found));
    rows.push(...found);
  }
  writeFileSync(options.jsonFile, `${JSON.stringify({ other, rows, failures }, null, 1)}\n`);
  const slower = rows.filter((row) => verdictOn(row) === 'slower');
  console.log(
    `${rows.length} rows against ${other.title}, ${slower.length} slower by more than ${TOLERANCE * 100} % in every launch`,
  );
  for (const { workload, engine, reason } of failures) console.log(`failed: ${engine} on ${workload}: ${reason}`);
  return failures.length > 0 || slower.length > 0 ? 1 : 0;
}

/** More and shorter samples than in a run with other engines: a ratio of neighbours needs many, and only two take turns. */
function budgetOf({ budget, isQuick }: Options): Budget {
  const shared = { ...budget, maximumSamples: 150 };
  if (isQuick) return { ...shared, warmUpSeconds: 0.2, seconds: 0.4, minimumSamples: 7 };
  return { ...shared, warmUpSeconds: Math.max(budget.warmUpSeconds, 0.5), seconds: 1.5, minimumSamples: 15 };
}

/** @param launches - the measurements of one workload, launch by launch. */
export function rowsOf(launches: readonly (readonly Measurement[])[]): Row[] {
  return (launches[0] ?? []).flatMap(({ workload, contender, pass }) => {
    if (contender.startsWith(OTHER)) return [];
    const of = (name: string, measurements: readonly Measurement[]) =>
      measurements.find((one) => one.contender === name && one.pass === pass);
    const pairs = launches.flatMap((measurements) => {
      const ours = of(contender, measurements);
      const others = of(OTHER + contender, measurements);
      return ours === undefined || others === undefined ? [] : [{ ours, others }];
    });
    if (pairs.length === 0) return [];
    return {
      workload,
      contender,
      pass,
      ours: Math.min(...pairs.map(({ ours }) => ours.minimum)),
      others: Math.min(...pairs.map(({ others }) => others.minimum)),
      ratios: pairs.map(({ ours, others }) => pairedRatio(ours.samples, others.samples)),
    };
  });
}

/** The median of the ratios of samples that were taken one after the other: what disturbed one disturbed the other as well. */
function pairedRatio(ours: readonly number[], others: readonly number[]): number {
  const count = Math.min(ours.length, others.length);
  return percentile(
    Array.from({ length: count }, (_, i) => (ours[i] ?? Number.NaN) / (others[i] ?? Number.NaN)),
    0.5,
  );
}

/** `slower` where every launch is beyond the tolerance, `unclear` where only some are. */
export function verdictOn({ ratios }: Row): 'slower' | 'unclear' | 'not slower' {
  const beyond = ratios.filter((ratio) => !(ratio <= 1 + TOLERANCE)).length;
  if (beyond === 0) return 'not slower';
  return beyond === ratios.length ? 'slower' : 'unclear';
}

/** The median of the launches' ratios, the least and the greatest one. */
function comparisonTable(rows: readonly Row[]): string {
  return table(
    rows[0]?.workload ?? '',
    ['', '', 'this, ms', 'other, ms', 'this / other', 'of launches', ''],
    rows.map((row) => [
      row.contender,
      row.pass === 'step' ? 'forward + backward' : row.pass,
      milliseconds(row.ours),
      milliseconds(row.others),
      percentile(row.ratios, 0.5).toFixed(3),
      `${Math.min(...row.ratios).toFixed(3)} to ${Math.max(...row.ratios).toFixed(3)}`,
      verdictOn(row),
    ]),
  );
}

/** `npm run bench -- --against …`: this build and another one in turns, row by row. */

import type { NamedContender } from './contenders.ts';
import type { Pass } from './engine.ts';
import { EnginePool } from './engine_pool.ts';
import { EngineProcess } from './engine_process.ts';
import { type Budget, type Failure, type Measurement, measureWorkload } from './measure.ts';
import type { OtherBuild } from './other_build.ts';
import { plainTable } from './report.ts';
import { repositoryFile } from './repository.ts';
import { percentile } from './statistics.ts';
import type { Workload } from './workloads.ts';

/** How much longer than before a row may take. */
export const TOLERANCE = 0.02;

/** What marks the engines and contenders of the other build. */
const OTHER = 'other/';

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
 * Measures contenders of both builds in turns. Processes of one program differ among themselves, by where memory and code happen
 * to lie, so everything is done several times with new processes; the spread of the ratios shows by how much.
 */
export async function compareBuilds(
  workloads: readonly Workload[],
  contenders: readonly NamedContender[],
  other: OtherBuild,
  launches: number,
  budget: Budget,
): Promise<{ rows: Row[]; failures: Failure[] }> {
  const pairs = contenders.flatMap((one) => [one, { ...one, name: OTHER + one.name, engine: OTHER + one.engine }]);
  const rows: Row[] = [];
  const failures: Failure[] = [];
  for (const workload of workloads) {
    const found: Measurement[][] = [];
    for (let launch = 0; launch < launches; launch++) {
      const engines = new EnginePool(null, (engine) =>
        engine.startsWith(OTHER)
          ? EngineProcess.start(engine.slice(OTHER.length), null, other.entry)
          : EngineProcess.start(engine, null, repositoryFile('dist/index.js')),
      );
      try {
        const result = await measureWorkload(
          workload,
          launch % 2 === 0 ? pairs : [...pairs].reverse(),
          engines,
          budget,
        );
        found.push(result.measurements);
        failures.push(...result.failures);
      } finally {
        engines.stop();
      }
      console.error(`${workload.name}: launch ${launch + 1} of ${launches}`);
    }
    rows.push(...rowsOf(found));
  }
  return { rows, failures };
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

/** The rows, with the median of the launches' ratios, the least and the greatest one. */
export function comparisonTable(rows: readonly Row[], other: OtherBuild): string {
  const table = plainTable(['', '', '', 'this, ms', 'other, ms', 'this / other', 'of launches', '']);
  for (const row of rows) {
    const { workload, contender, pass, ours, others, ratios } = row;
    table.push([
      workload,
      contender,
      pass === 'step' ? 'forward + backward' : pass,
      (ours * 1000).toPrecision(3),
      (others * 1000).toPrecision(3),
      percentile(ratios, 0.5).toFixed(3),
      `${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}`,
      verdictOn(row),
    ]);
  }
  return `Time of this build over that of ${other.title}; more than ${1 + TOLERANCE} is slower\n${table.toString()}`;
}

/** The tables that all runs have. */

import Table from 'cli-table3';
import type { Contender } from './contenders.ts';
import type { Pass } from './engine.ts';
import { strongestOf, type Verdict } from './figures.ts';
import type { Measurement } from './measure.ts';
import type { Workload } from './workloads.ts';

const PASS_TITLES: Readonly<Record<Pass, string>> = {
  forward: 'Forward',
  backward: 'Backward',
  step: 'Forward + backward',
};

/** One table per pass: workloads down, contenders across, `minimum +spread` in milliseconds. */
export function timeTables(
  workloads: readonly Workload[],
  contenders: readonly Contender[],
  measurements: readonly Measurement[],
): string {
  const passes: readonly Pass[] = ['forward', 'backward', 'step'];
  const tables = passes.flatMap((pass) => {
    const across = contenders.filter((contender) => contender.passes.includes(pass));
    const isAcross = (workload: Workload) => across.some(({ takes }) => takes(workload));
    const rows = workloads
      .filter(isAcross)
      .map(({ name }) => [
        name,
        ...across.map((contender) => timeCell(strongestOf(measurements, name, pass, contender.name))),
      ]);
    const title = `${PASS_TITLES[pass]}: milliseconds at best, and how far the median lies above`;
    return across.length === 0 ? [] : [table(title, ['', ...across.map((contender) => contender.title)], rows)];
  });
  return tables.join('\n\n');
}

/** Microseconds of one layer of a chain, forward and backward: devices across. */
export function chainTable(
  workloads: readonly Workload[],
  contenders: readonly Contender[],
  measurements: readonly Measurement[],
): string {
  const chains = workloads.filter(({ family }) => family === 'chain');
  const across = contenders.filter(({ takes }) => chains.some(takes));
  const rows = chains.map(({ name, chainLength }) => [
    name,
    ...across.map((contender) => {
      const found = strongestOf(measurements, name, 'step', contender.name);
      return found === undefined
        ? '-'
        : `${((found.minimum / chainLength) * 1e6).toFixed(0)} +${percent(found.spread)}`;
    }),
  ]);
  const title = 'A chain of synchronized layers, forward + backward: microseconds per layer at best';
  return rows.length === 0 ? '' : table(title, ['', ...across.map((contender) => contender.title)], rows);
}

/** The figures: wanted, got, reached or missed. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => [verdict.figure, verdict.wanted, verdict.got || '-', outcomeOf(verdict)]);
  const details = verdicts.flatMap(({ figure, missed, unmeasured, margin }) => [
    ...(missed.length > 0 ? [`missed: ${figure}: ${missed.join(', ')}`] : []),
    ...(margin !== null && unmeasured.length > 0 ? [`not measured: ${figure}: ${unmeasured.join(', ')}`] : []),
  ]);
  return [table('Figures to reach', ['', 'wanted', 'worst', ''], rows), ...details].join('\n');
}

function outcomeOf({ margin, missed }: Verdict): string {
  if (margin === null) return 'not measured';
  if (margin === Infinity) return 'reached';
  const distance = `${Number((Math.abs(margin - 1) * 100).toPrecision(2))} %`;
  return missed.length > 0 ? `MISSED by ${distance}` : `reached, ${distance} to spare`;
}

/** Milliseconds, and how far the median lies above. */
export function timeCell(measurement: Measurement | undefined): string {
  return measurement === undefined ? '-' : `${milliseconds(measurement.minimum)} +${percent(measurement.spread)}`;
}

/** Three digits: the spread makes more of them meaningless. */
export function milliseconds(seconds: number): string {
  const value = seconds * 1000;
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export function percent(part: number): string {
  return `${Math.round(part * 100)}%`;
}

/** A number with so many digits after the point, or a dash for none. */
export function cell(value: number | null | undefined, digits: number, unit = ''): string {
  return value === null || value === undefined ? '-' : `${value.toFixed(digits)}${unit}`;
}

/** A table without lines, below its title. */
export function table(title: string, head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const sides = ['top', 'bottom', 'left', 'mid', 'right'];
  const names = [...sides, ...sides.flatMap((side) => ['mid', 'left', 'right'].map((other) => `${side}-${other}`))];
  const chars = Object.fromEntries(names.map((name) => [name, '']));
  const made = new Table({
    head: [...head],
    chars: { ...chars, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: ['left'],
  });
  made.push(...rows.map((row) => [...row]));
  return `${title}\n${made.toString()}`;
}

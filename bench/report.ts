/** The tables of a run. */

import Table from 'cli-table3';
import type { NamedContender } from './contenders.ts';
import type { Pass } from './engine.ts';
import type { Verdict } from './figures.ts';
import type { Failure, Measurement } from './measure.ts';
import type { MemoryUse } from './memory.ts';
import type { Workload } from './workloads.ts';

/** Everything a run has found, as it is written to JSON. */
export interface Results {
  readonly date: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly isQuick: boolean;
  readonly measurements: readonly Measurement[];
  readonly failures: readonly Failure[];
  readonly memory: MemoryUse;
  readonly packageGzipBytes: number;
  readonly verdicts: readonly Verdict[];
}

const PASS_TITLES: Readonly<Record<Pass, string>> = {
  forward: 'Forward',
  backward: 'Backward',
  step: 'Forward + backward',
};

/** One table per pass: workloads down, contenders across, `minimum +spread` in milliseconds. */
export function timeTables(
  workloads: readonly Workload[],
  contenders: readonly NamedContender[],
  measurements: readonly Measurement[],
): string {
  const passes: readonly Pass[] = ['forward', 'backward', 'step'];
  return passes
    .filter((pass) => contenders.some((contender) => contender.passes.includes(pass)))
    .map((pass) => {
      const across = contenders.filter((contender) => contender.passes.includes(pass));
      const table = plainTable(['', ...across.map(({ title }) => title)]);
      for (const { name } of workloads) {
        const cells = across.map((contender) =>
          timeCell(measurements.find((m) => m.workload === name && m.contender === contender.name && m.pass === pass)),
        );
        table.push([name, ...cells]);
      }
      return `${PASS_TITLES[pass]}: milliseconds at best, and how far the median lies above\n${table.toString()}`;
    })
    .join('\n\n');
}

/** What a step and the package take. */
export function sizeLines(memory: MemoryUse, packageGzipBytes: number): string {
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(0)} KiB`;
  return [
    `Memory of a step on ${kib(memory.inputBytes)}, beside x, y, dy, dx: ${kib(memory.overheadBytes)}; in place, beside ` +
      `x, y, dy: ${kib(memory.overheadInPlaceBytes)}; growth over 1,000 steps: ${memory.growthBytes} bytes`,
    `Package in a user's bundle: ${(packageGzipBytes / 1000).toFixed(1)} KB gzip`,
  ].join('\n');
}

/** The figures: wanted, got, reached or missed. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  const table = plainTable(['figure', 'wanted', 'worst', '']);
  for (const verdict of verdicts) table.push([verdict.figure, verdict.wanted, verdict.got || '-', outcomeOf(verdict)]);
  const details = verdicts.flatMap(({ figure, missed, unmeasured, margin }) => [
    ...(missed.length > 0 ? [`missed: ${figure}: ${missed.join(', ')}`] : []),
    ...(margin !== null && unmeasured.length > 0 ? [`not measured: ${figure}: ${unmeasured.join(', ')}`] : []),
  ]);
  return [table.toString(), ...details].join('\n');
}

function outcomeOf({ margin, missed }: Verdict): string {
  if (margin === null) return 'not measured';
  if (margin === Infinity) return 'reached';
  const percent = Math.abs(margin - 1) * 100;
  const distance = `${percent >= 1000 ? Math.round(percent) : Number(percent.toPrecision(2))} %`;
  return missed.length > 0 ? `MISSED by ${distance}` : `reached, ${distance} to spare`;
}

function timeCell(measurement: Measurement | undefined): string {
  if (measurement === undefined) return '-';
  const { minimum, spread } = measurement;
  return `${milliseconds(minimum)} +${Math.round(spread * 100)}%`;
}

/** Three digits: the spread makes more of them meaningless. */
function milliseconds(seconds: number): string {
  const value = seconds * 1000;
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** A table without lines. */
export function plainTable(head: string[]): Table.Table {
  const none = Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
      .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
      .map((name) => [name, '']),
  );
  return new Table({
    head,
    chars: { ...none, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: ['left'],
  });
}

/** The result of all runs in one table, for the terminal and for the report. */

import Table from 'cli-table3';
import { type Distance, distanceBetween } from './compare.ts';
import { labelOf } from './runs.ts';
import type { RunRecord } from './train.ts';

/** One run in figures. */
export interface SummaryRow {
  readonly label: string;
  readonly record: RunRecord;
  readonly accuracy: number;
  /** Mean loss of the last tenth of the steps. */
  readonly finalLoss: number;
  /** How far the run is from the first one; `null` for the first one itself. */
  readonly distance: Distance | null;
}

/** The heads of the columns, in the order of {@link cellsOf}. Broken in two, so that the table fits a narrow terminal. */
export const COLUMNS = [
  'batch norm,\ndevices × samples',
  'test\naccuracy',
  'final\nloss',
  'Δ weights,\nstep 1',
  'Δ weights,\nend',
  'Δ logits,\nend',
  'samples\nper s',
] as const;

/** What the columns mean, for below the table. */
export const LEGEND = [
  'Δ: largest absolute difference from the one-device run, of any weight after the',
  'first and the last step, and of any logit of the test images after the last.',
  'Samples per s are those of the median step: they show what splitting costs.',
].join('\n');

/** Everything but the line below the head is left out. */
const CHARS = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', right: '', 'right-mid': '', middle: ' ', 'mid-mid': '─' },
};

/** Compares every run with the first one. */
export function summarize(records: readonly RunRecord[]): SummaryRow[] {
  return records.map((record, i) => {
    const [reference] = records;
    const tail = record.losses.slice(-Math.ceil(record.losses.length / 10));
    return {
      label: labelOf(record.run),
      record,
      accuracy: record.checkpoints.at(-1)?.accuracy ?? NaN,
      finalLoss: tail.reduce((a, b) => a + b, 0) / tail.length,
      distance: i === 0 || reference === undefined ? null : distanceBetween(reference, record),
    };
  });
}

/** A row as text, one cell per column. */
export function cellsOf({ label, record, accuracy, finalLoss, distance }: SummaryRow): string[] {
  return [
    label,
    formatShare(accuracy),
    finalLoss.toFixed(4),
    ...[distance?.weights.at(0)?.difference, distance?.weights.at(-1)?.difference, distance?.logits].map(
      formatDifference,
    ),
    record.samplesPerSecond.toFixed(0),
  ];
}

/** The table for a terminal. */
export function formatTable(rows: readonly SummaryRow[]): string {
  const table = new Table({
    head: [...COLUMNS],
    colAligns: COLUMNS.map((_, i) => (i === 0 ? 'left' : 'right')),
    // Colours are left to the terminal: the table must read well in a log, too.
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
    chars: CHARS,
  });
  table.push(...rows.map(cellsOf));
  return table.toString();
}

/** `97.35 %` */
export function formatShare(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

/** Two digits: `13`, `0.02`, `2.3e-7`; a dash where there is nothing to compare. */
export function formatDifference(difference: number | undefined): string {
  return difference === undefined ? '–' : String(Number(difference.toPrecision(2)));
}

/** What came out, in one sentence. */
export function conclusionOf(rows: readonly SummaryRow[]): string {
  const [alone] = rows;
  const plain = rows.find(({ record }) => record.run.name === 'plain');
  const synchronized = rows.filter(({ record }) => record.run.name === 'synchronized');
  if (alone === undefined || plain === undefined || synchronized.length === 0) {
    throw new RangeError('expected a run on one device, a plain one and a synchronized one');
  }
  const isEqual = synchronized.every(
    ({ distance }) => distance?.logits === 0 && distance.weights.at(-1)?.difference === 0,
  );
  const shares = [...new Set(synchronized.map(({ accuracy }) => formatShare(accuracy)))].join(' and ');
  const course = isEqual
    ? `with synchronized batch norm it is the one-device network to the last bit: ${shares}`
    : `with synchronized batch norm ${shares}, where one device reaches ${formatShare(alone.accuracy)}`;
  const { devices } = plain.record.run;
  return `Trained on ${devices} devices with plain batch norm, a network tells ${formatShare(plain.accuracy)} of the digits right; ${course}`;
}

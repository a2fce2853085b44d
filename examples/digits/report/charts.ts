/** The charts of the report: what each run did, step by step. */

import { formatDifference, formatShare, type SummaryRow } from '../summary.ts';
import { lineChart, type Series } from '../../report/line_chart.ts';
import { movingMean } from '../../report/moving_mean.ts';
import { linearScale, logScale } from '../../report/scale.ts';

/** The loss of the training batches, averaged so that single batches do not hide the course. */
export function lossChart(rows: readonly SummaryRow[], steps: number): string {
  const window = smoothingOf(steps);
  const series = rows.map(({ label, record }, style): Series => {
    const points = movingMean(record.losses, window);
    return { label, style, points, isMarked: false };
  });
  const highest = Math.max(...valuesOf(series));
  return lineChart({
    title: 'Training loss',
    xLabel: 'step',
    xScale: linearScale(0, steps),
    yScale: linearScale(0, highest),
    series,
    formatValue: (value) => value.toFixed(3),
  });
}

/** The share of test images told right. */
export function accuracyChart(rows: readonly SummaryRow[], steps: number): string {
  const series = rows.map(({ label, record }, style): Series => {
    const points = record.checkpoints.map(({ step, accuracy }) => ({ x: step, y: accuracy }));
    return { label, style, points, isMarked: true };
  });
  return lineChart({
    title: 'Test accuracy',
    xLabel: 'step',
    xScale: linearScale(0, steps),
    yScale: linearScale(0, 1, (tick) => `${(100 * tick).toFixed(0)} %`),
    series,
    formatValue: formatShare,
  });
}

/** What to say below {@link distanceChart}. */
export function distanceNote(rows: readonly SummaryRow[]): string {
  const equal = rows.filter(({ distance }) => distance?.weights.every(({ difference }) => difference === 0) === true);
  const note = 'Largest absolute difference of any weight; logarithmic.';
  return equal.length === 0
    ? note
    : `${note} Not drawn, for the difference is zero to the last bit at every checkpoint: ${equal.map(({ label }) => label).join('; ')}.`;
}

/** How far the weights are from those of the first run. */
export function distanceChart(rows: readonly SummaryRow[], steps: number): string {
  const series = rows.flatMap(({ label, distance }, style): Series[] => {
    // A logarithmic axis has no place for a difference of exactly zero.
    const apart = (distance?.weights ?? []).filter(({ difference }) => difference > 0);
    const points = apart.map(({ step, difference }) => ({ x: step, y: difference }));
    return points.length === 0 ? [] : [{ label, style, points, isMarked: true }];
  });
  const values = valuesOf(series);
  return lineChart({
    title: 'Distance from one-device training',
    xLabel: 'step',
    xScale: linearScale(0, steps),
    yScale: logScale(Math.min(1, ...values), Math.max(1e-9, ...values)),
    series,
    formatValue: formatDifference,
  });
}

/** How many steps the loss is averaged over. */
function smoothingOf(steps: number): number {
  return Math.max(1, Math.round(steps / 20));
}

/** How the loss is averaged, in words. */
export function smoothingNote(steps: number): string {
  const window = smoothingOf(steps);
  return window === 1 ? 'Of each step.' : `Mean over ${window} steps.`;
}

function valuesOf(series: readonly Series[]): number[] {
  return series.flatMap(({ points }) => points.map(({ y }) => y));
}

/** The HTML report: one file without scripts that needs nothing from the network. */

import type { Options } from '../options.ts';
import { cellsOf, COLUMNS, formatShare, LEGEND, type SummaryRow } from '../summary.ts';
import { escapeHtml } from './escape.ts';
import { lineChart, type Series } from './line_chart.ts';
import { linearScale, logScale } from './scale.ts';
import { STYLE } from './style.ts';

/** What the report tells besides the runs. */
export interface ReportDetails {
  readonly options: Options;
  /** What the model prints. */
  readonly network: string;
  readonly trainImages: number;
  readonly testImages: number;
  readonly seconds: number;
}

/** The whole page. */
export function reportPage(rows: readonly SummaryRow[], details: ReportDetails): string {
  const { options } = details;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>syncbn: handwritten digits</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Synchronized batch norm on handwritten digits</h1>
<p>The same network was trained from the same weights on the same batches of ${options.batch} images: on one device, split over
${options.devices} devices with plain batch norm, whose statistics then come from ${options.batch / options.devices} images each, and with
synchronized batch norm, whose statistics come from the whole batch wherever its images are. With one image per device, plain
batch norm could not train at all: its last layer would have a single value per channel.</p>
<div class="scroll">${table(rows)}</div>
<p class="faint">${escapeHtml(LEGEND)}</p>
<div class="charts">
${figure('Training loss', `${smoothingNote(options.steps)} The broad line is the one-device run; lines that lie on it are equal to it.`, lossChart(rows, options.steps))}
${figure('Test accuracy', 'With running statistics.', accuracyChart(rows, options.steps))}
${figure('Distance from one-device training', distanceNote(rows), distanceChart(rows, options.steps))}
${settings(details)}
</div>
<figure><figcaption><h2>Network</h2></figcaption><pre>${escapeHtml(details.network)}</pre></figure>
</body>
</html>
`;
}

function table(rows: readonly SummaryRow[]): string {
  const head = COLUMNS.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join('');
  const body = rows.map((row, i) => {
    const [label = '', ...figures] = cellsOf(row);
    const key = `<svg class="key" viewBox="0 0 28 12" aria-hidden="true"><line class="line line-${i}" x1="1" x2="27" y1="6" y2="6"/></svg>`;
    return `<tr><td>${key}${escapeHtml(label)}</td>${figures.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`;
  });
  return `<table><thead><tr>${head}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table>`;
}

function figure(title: string, note: string, content: string): string {
  const caption = `<figcaption><h2>${escapeHtml(title)}</h2><span class="faint">${escapeHtml(note)}</span></figcaption>`;
  return `<figure>${caption}\n${content}</figure>`;
}

function lossChart(rows: readonly SummaryRow[], steps: number): string {
  const window = smoothingOf(steps);
  const series = rows.map(({ label, record }, style): Series => {
    const points = movingMean(record.losses, window).map((y, i) => ({ x: i + window, y }));
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

function accuracyChart(rows: readonly SummaryRow[], steps: number): string {
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

function distanceNote(rows: readonly SummaryRow[]): string {
  const equal = rows.filter(({ distance }) => distance?.weights.every(({ difference }) => difference === 0) === true);
  const note = 'Largest absolute difference of any weight; logarithmic.';
  return equal.length === 0
    ? note
    : `${note} Not drawn, for the difference is zero to the last bit at every checkpoint: ${equal.map(({ label }) => label).join('; ')}.`;
}

function distanceChart(rows: readonly SummaryRow[], steps: number): string {
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
    formatValue: (value) => value.toExponential(1),
  });
}

function settings({ options, trainImages, testImages, seconds }: ReportDetails): string {
  const command = [
    'npm start --',
    `--devices ${options.devices}`,
    `--batch ${options.batch}`,
    `--steps ${options.steps}`,
    `--seed ${options.seed}`,
    ...(options.quick ? ['--quick'] : []),
  ];
  const entries = [
    ['images', `${trainImages} to train, ${testImages} to test (package mnist)`],
    ['steps', String(options.steps)],
    ['seed', String(options.seed)],
    ['time', `${seconds.toFixed(0)} s for all runs`],
  ] as const;
  // A browser may break a line after any hyphen, but an option is one word.
  const again = command.map((part) => `<span>${escapeHtml(part)}</span>`).join(' ');
  const list = [...entries.map(([term, text]) => [term, escapeHtml(text)] as const), ['again', again] as const]
    .map(([term, html]) => `<dt>${term}</dt><dd>${html}</dd>`)
    .join('');
  return `<figure><figcaption><h2>Settings</h2></figcaption><dl>${list}</dl></figure>`;
}

/** How many steps the loss is averaged over, so that single batches do not hide the course. */
function smoothingOf(steps: number): number {
  return Math.max(1, Math.round(steps / 20));
}

function smoothingNote(steps: number): string {
  const window = smoothingOf(steps);
  return window === 1 ? 'Of each step.' : `Mean over ${window} steps.`;
}

function movingMean(values: readonly number[], window: number): number[] {
  return Array.from({ length: values.length - window + 1 }, (_, start) => {
    return values.slice(start, start + window).reduce((a, b) => a + b) / window;
  });
}

function valuesOf(series: readonly Series[]): number[] {
  return series.flatMap(({ points }) => points.map(({ y }) => y));
}

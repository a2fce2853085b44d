/** The chart of accuracies as a file of its own, for pages that tell about the experiment. */

import type { SummaryRow } from '../summary.ts';
import { accuracyChart } from './charts.ts';
import { escapeHtml } from '../../report/escape.ts';
import { LINES } from '../../report/style.ts';

/** Height of the chart, and of the key below it. */
const CHART = 300;
const KEY = 30;

/** An SVG file. It is light whatever the page around it is. */
export function picture(rows: readonly SummaryRow[], steps: number): string {
  const chart = accuracyChart(rows, steps).replace('<svg ', '<svg width="640" height="300" ');
  const entries = rows.map(({ label }, i) => {
    const [x, y] = [56 + 300 * (i % 2), CHART + 18 + KEY * Math.floor(i / 2)];
    return `<line class="line line-${i}" x1="${x}" x2="${x + 36}" y1="${y}" y2="${y}"/><text x="${x + 46}" y="${y}" dominant-baseline="middle">${escapeHtml(label)}</text>`;
  });
  const height = CHART + KEY * Math.ceil(rows.length / 2) + 10;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 ${height}" font-family="system-ui, sans-serif">
<title>Test accuracy by step, of each way of training</title>
<style>
svg { --faint: #5b6675; --rule: #dde2e9; --line-0: #8ecdf2; --line-1: #d55e00; --line-2: #00755a; --line-3: #8a2f78; }
${LINES}</style>
<rect width="640" height="${height}" rx="12" fill="#ffffff"/>
${chart}
${entries.join('\n')}
</svg>
`;
}

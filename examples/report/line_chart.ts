/** Line charts as inline SVG: colours come from the page, so that they follow its light or dark scheme. */

import { escapeHtml } from './escape.ts';
import type { Scale } from './scale.ts';

/** One line. */
export interface Series {
  readonly label: string;
  /** Which of the page's line styles, `line-0`, `line-1` …; one run has the same in every chart. */
  readonly style: number;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** Whether points are marked and tell their value under the pointer. */
  readonly isMarked: boolean;
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly xScale: Scale;
  readonly yScale: Scale;
  readonly series: readonly Series[];
  /** How a value reads under the pointer. */
  readonly formatValue: (value: number) => string;
}

const WIDTH = 640;
const HEIGHT = 300;
const MARGIN = { left: 56, right: 16, top: 12, bottom: 40 } as const;

/** The chart as an `<svg>` element that scales with its container. */
export function lineChart(options: ChartOptions): string {
  const { title, xLabel, xScale, yScale, series } = options;
  const x = (value: number): string => round(MARGIN.left + xScale.place(value) * (WIDTH - MARGIN.left - MARGIN.right));
  const y = (value: number): string =>
    round(HEIGHT - MARGIN.bottom - yScale.place(value) * (HEIGHT - MARGIN.top - MARGIN.bottom));
  const right = WIDTH - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const horizontal = yScale.ticks.map(
    (tick) =>
      `<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}"/>` +
      `<text x="${MARGIN.left - 8}" y="${y(tick)}" text-anchor="end" dominant-baseline="middle">${yScale.format(tick)}</text>`,
  );
  const vertical = xScale.ticks.map(
    (tick) => `<text x="${x(tick)}" y="${bottom + 16}" text-anchor="middle">${xScale.format(tick)}</text>`,
  );
  const lines = series.map(({ style, points }) => {
    const path = points.map((point) => `${x(point.x)},${y(point.y)}`).join(' ');
    return `<polyline class="line line-${style}" points="${path}"/>`;
  });
  const marks = series.flatMap(({ label, style, points, isMarked }) =>
    isMarked
      ? points.map((point) => {
          const text = `${label}, step ${point.x}: ${options.formatValue(point.y)}`;
          return `<circle class="mark mark-${style}" cx="${x(point.x)}" cy="${y(point.y)}" r="3"><title>${escapeHtml(text)}</title></circle>`;
        })
      : [],
  );
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">`,
    ...horizontal,
    ...vertical,
    `<text x="${(MARGIN.left + right) / 2}" y="${HEIGHT - 4}" text-anchor="middle">${escapeHtml(xLabel)}</text>`,
    ...lines,
    ...marks,
    '</svg>',
  ].join('\n');
}

/** A tenth of a pixel is finer than a screen shows. */
function round(value: number): string {
  return value.toFixed(1);
}

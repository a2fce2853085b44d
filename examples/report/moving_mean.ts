/** Averages, so that single batches do not hide the course of a training. */

import type { Series } from './line_chart.ts';

/**
 * The mean of each value and those before it, as points of a chart that counts steps from 1.
 * @param window - how many values are averaged; where there are fewer, there is no point.
 */
export function movingMean(values: readonly number[], window: number): Series['points'] {
  return Array.from({ length: Math.max(0, values.length - window + 1) }, (_, start) => {
    const y = values.slice(start, start + window).reduce((a, b) => a + b) / window;
    return { x: start + window, y };
  });
}

/** A digit as inline SVG, so that the report needs no file beside it. */

import { IMAGE_SIZE } from '../samples.ts';
import { escapeHtml } from '../../report/escape.ts';

/** Shades of ink besides none: as many as the eye tells apart at this size. */
const SHADES = 4;

/**
 * The image in rows of equal shade.
 * @param pixels - 28 × 28 values, of any range.
 * @param title - what a screen reader says.
 */
export function digitImage(pixels: Float32Array, title: string): string {
  const darkest = Math.max(...pixels);
  const lightest = Math.min(...pixels);
  const shadeOf = (value: number): number => Math.round((SHADES * (value - lightest)) / (darkest - lightest || 1));
  const paths = Array.from({ length: SHADES }, () => '');
  for (let row = 0; row < IMAGE_SIZE; row++) {
    for (let column = 0; column < IMAGE_SIZE;) {
      const start = column;
      const shade = shadeOf(pixels[row * IMAGE_SIZE + column] ?? 0);
      while (column < IMAGE_SIZE && shadeOf(pixels[row * IMAGE_SIZE + column] ?? 0) === shade) column++;
      const before = paths[shade - 1];
      if (before !== undefined) {
        paths[shade - 1] = `${before}M${start} ${row}h${column - start}v1h-${column - start}z`;
      }
    }
  }
  const ink = paths.map((path, i) => (path === '' ? '' : `<path opacity="${(i + 1) / SHADES}" d="${path}"/>`)).join('');
  return `<svg class="digit" viewBox="0 0 ${IMAGE_SIZE} ${IMAGE_SIZE}" role="img" aria-label="${escapeHtml(title)}">${ink}</svg>`;
}

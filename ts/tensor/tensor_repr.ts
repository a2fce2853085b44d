/** How tensors are shown in a terminal. */

import type { Shape } from './shape.ts';

/** Values at each end of a dimension that are shown; what lies between is left out. */
const EDGE = 3;

/** As many values as are shown whole. */
const MOST_VALUES = 1000;

/** What Node, Deno and Bun call for `console.log(object)`. */
export const inspectKey: unique symbol = Symbol.for('nodejs.util.inspect.custom');

/** Values as nested brackets, a line for each row: `[[1, 2], [3, 4]]`. Of large tensors the middle is left out. */
export function formatValues(values: Float32Array, shape: Shape): string {
  const isLong = values.length > MOST_VALUES;
  const format = (dim: number, offset: number): string => {
    const size = shape[dim];
    if (size === undefined) {
      return String(values[offset]);
    }
    const step = shape.slice(dim + 1).reduce((product, each) => product * each, 1);
    const item = (i: number): string => format(dim + 1, offset + i * step);
    const indices = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, i) => first + i);
    const items =
      isLong && size > 2 * EDGE
        ? [...indices(0, EDGE).map(item), '…', ...indices(size - EDGE, size).map(item)]
        : indices(0, size).map(item);
    const isRow = dim === shape.length - 1;
    return `[${items.join(isRow ? ', ' : `,\n${' '.repeat(dim + 1)}`)}]`;
  };
  return format(0, 0);
}

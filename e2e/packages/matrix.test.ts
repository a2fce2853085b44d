/** The quick rows of the matrix: the packed package gives the same bits on whatever is here without installing anything. */

import { beforeAll, expect, it } from 'vitest';
import { expected, rowNames, runRows, type RowResult } from './matrix.mjs';

let results: RowResult[] = [];

beforeAll(async () => {
  results = await runRows(
    ({ quick }) => quick,
    () => undefined,
  );
}, 240_000);

it.each(rowNames(({ quick }) => quick))('%s', (name) => {
  expect(results.find((result) => result.name === name)).toEqual({ name, sums: expected, error: null });
});

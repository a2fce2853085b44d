/** The quick rows of the matrix: the packed package gives the same bits on whatever is here without installing anything. */

import { beforeAll, expect, it } from 'vitest';
import { rowNames, type RowResult, runRows } from './run_rows.mjs';

const wanted = { quick: true };
let results: RowResult[] = [];

beforeAll(async () => {
  results = await runRows(wanted, () => undefined);
}, 240_000);

it.each(rowNames(wanted))('%s', (name) => {
  const { outcome, reason } = results.find((result) => result.name === name) ?? {};
  // What a passed row has to say is for readers of the table.
  expect({ outcome, reason: outcome === 'passed' ? '' : reason }).toEqual({ outcome: 'passed', reason: '' });
});

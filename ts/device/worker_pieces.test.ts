/** Pieces of rows: every value is in one box, and what is lent comes back or is made anew. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Box, boxesOf, Pieces } from './worker_pieces.ts';

const PIECE_BYTES = 1024 * 1024;

describe('boxes', () => {
  it('are consecutive, fit a piece, and cover rows once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 20 }), fc.integer({ min: 1, max: 300 }), (rowLength, rows) => {
        let next = { row: 0, begin: 0 };
        for (const { row, rows: height, begin, length } of boxesOf(rowLength, rows)) {
          expect({ row, begin }).toEqual(next);
          expect(4 * height * length).toBeLessThanOrEqual(PIECE_BYTES);
          // Only whole rows are taken together.
          expect(height === 1 || length === rowLength).toBe(true);
          next = begin + length === rowLength ? { row: row + height, begin: 0 } : { row, begin: begin + length };
        }
        expect(next).toEqual({ row: rows, begin: 0 });
      }),
      { seed: 1, numRuns: 30 },
    );
  });
});

describe('pieces', () => {
  const boxes = (count: number): Box[] =>
    Array.from({ length: count }, (_, row) => ({ row, rows: 1, begin: 0, length: PIECE_BYTES / 4 }));

  it('are used again, and no more are made than are lent at once', async () => {
    const pieces = new Pieces();
    const seen = new Set<ArrayBuffer>();
    let [lent, most] = [0, 0];
    await pieces.each(boxes(20), async (_box, values) => {
      seen.add(values.buffer);
      lent += 1;
      most = Math.max(most, lent);
      await new Promise((resolve) => setTimeout(resolve));
      lent -= 1;
      return values;
    });
    expect([seen.size, most]).toEqual([4, 4]);
  });

  it('set off one by one, not when all of them are filled', async () => {
    const happened: string[] = [];
    await new Pieces().each(boxes(3), ({ row }, values) => {
      happened.push(`filled ${row}`);
      queueMicrotask(() => happened.push(`sent ${row}`));
      return Promise.resolve(values);
    });
    expect(happened).toEqual([0, 1, 2].flatMap((row) => [`filled ${row}`, `sent ${row}`]));
  });

  it('tell of the first failure when all is over, and others take their place', async () => {
    const pieces = new Pieces();
    const rows: number[] = [];
    const attempt = pieces.each(boxes(12), ({ row }, values) => {
      rows.push(row);
      return row % 5 === 2 ? Promise.reject(new Error(`row ${row}`)) : Promise.resolve(values);
    });
    await expect(attempt).rejects.toThrow('row 2');
    expect(rows).toEqual(boxes(12).map(({ row }) => row));
    await pieces.each(boxes(12), (_box, values) => Promise.resolve(values));
  });

  it('that come back smaller, as copies, are not used again', async () => {
    const pieces = new Pieces();
    await pieces.each(boxes(3), () => Promise.resolve(new Float32Array(2)));
    await pieces.each(boxes(3), (_box, values) => {
      expect(values.buffer.byteLength).toBe(PIECE_BYTES);
      return Promise.resolve(values);
    });
  });
});

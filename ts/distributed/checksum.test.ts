import { describe, expect, it } from 'vitest';
import { checksum } from './checksum.ts';

describe('checksum', () => {
  // Of the reference implementation, for each way in which the end is taken: by stripes, words and bytes.
  it.each([
    ['', 0x02cc5d05],
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ])('of %j is that of xxHash32', (text, expected) => {
    expect(checksum(new TextEncoder().encode(text))).toBe(expected);
  });

  it('does_not_depend_on_where_the_bytes_lie', () => {
    const bytes = Uint8Array.from({ length: 70 }, (_, i) => 31 * i);
    const shifted = new Uint8Array(73);
    shifted.set(bytes, 3);
    expect(checksum(shifted.subarray(3))).toBe(checksum(bytes));
  });

  it('changes_with_every_bit', () => {
    const bytes = new Uint8Array(37);
    const sums = new Set([checksum(bytes)]);
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = 1 << (bit & 7);
      sums.add(checksum(flipped));
    }
    expect(sums.size).toBe(8 * bytes.length + 1);
  });
});

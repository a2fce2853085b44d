import fc from 'fast-check';
import { compress } from 'lzma1';
import { describe, expect, it } from 'vitest';
import { decompressLzma } from './lzma.ts';

type Level = 1 | 5 | 9;

function roundTrip(bytes: Uint8Array, level: Level = 9): Uint8Array {
  return decompressLzma(Uint8Array.from(compress(bytes, level)));
}

/** Bytes by a formula, so that each kind of match and distance is met. */
function bytesOf(length: number, formula: (index: number) => number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => formula(index));
}

/** Bytes without order: the high bits of a linear congruential generator. */
function noise(length: number): Uint8Array {
  let seed = 1;
  return bytesOf(length, () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed >>> 24;
  });
}

describe('decompressLzma', () => {
  it.each([
    { kind: 'nothing', bytes: new Uint8Array(0) },
    { kind: 'one byte', bytes: Uint8Array.of(7) },
    { kind: 'one byte repeated', bytes: new Uint8Array(5000).fill(7) },
    { kind: 'a short period', bytes: bytesOf(5000, (i) => i % 3) },
    { kind: 'the whole alphabet in turn', bytes: bytesOf(5000, (i) => i % 256) },
    { kind: 'noise', bytes: noise(5000) },
    { kind: 'noise twice, far apart', bytes: Uint8Array.of(...noise(40_000), ...noise(40_000)) },
    { kind: 'four distances in turn', bytes: bytesOf(20_000, (i) => ((i % 7) * (i % 11) * (i % 13)) % 256) },
    { kind: 'a copy with every tenth byte changed', bytes: bytesOf(8000, (i) => (i % 10 === 0 ? i % 251 : i % 64)) },
  ])('gives_back_$kind', ({ bytes }) => {
    expect(roundTrip(bytes)).toEqual(bytes);
  });

  it.each<Level>([1, 5, 9])('gives_back_any_bytes_compressed_at_level_%i', (level) => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 });
    const picks = fc.array(fc.nat(), { maxLength: 60 });
    fc.assert(
      fc.property(pieces, picks, (words, order) => {
        const bytes = Uint8Array.from(order.flatMap((pick) => [...(words[pick % words.length] ?? [])]));
        expect(roundTrip(bytes, level)).toEqual(bytes);
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  const whole = Uint8Array.from(compress(noise(100), 9));

  it.each([0, 12, 13, 17, 60])('refuses_data_that_end_after_%i_bytes', (length) => {
    expect(() => decompressLzma(whole.subarray(0, length))).toThrow(RangeError);
  });

  it('refuses_a_reference_to_bytes_before_the_first', () => {
    // The first decision of the stream is "literal"; with all bits of the code set it is a match instead.
    const damaged = whole.slice().fill(0xff, 14, 18);
    expect(() => decompressLzma(damaged)).toThrow(/refers \d+ bytes back after 0 bytes/);
  });
});

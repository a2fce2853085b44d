import { describe, expect, it } from 'vitest';
import { expectSameBits, hashBits, ulp, ulpsApart } from './bits.ts';

describe('expectSameBits', () => {
  it('accepts equal arrays, NaN and −0 included', () => {
    expectSameBits(Float32Array.of(1, NaN, -0), Float32Array.of(1, NaN, -0));
  });

  it.each([
    ['the next f32', [1 + 2 ** -23], [1]],
    ['−0 for 0', [-0], [0]],
    ['a NaN for a number', [NaN], [1]],
    ['a number for a NaN', [1], [NaN]],
    ['a missing element', [], [1]],
    ['an element too many', [1, 2], [1]],
  ])('refuses %s', (_, actual, expected) => {
    expect(() => {
      expectSameBits(actual, expected);
    }).toThrow();
  });

  it('names the first differing elements and how many there are', () => {
    expect(() => {
      expectSameBits(Float32Array.of(1, 2, 3), Float32Array.of(1, 5, 6), 'y');
    }).toThrow(/y: 2 of 3 elements differ\n {2}\[1\] got 2 \(0x40000000\), expected 5/);
  });
});

describe('ulpsApart', () => {
  it.each([
    [1, 1, 0],
    [1, 1 + 2 ** -23, 1],
    [-1, -1 - 2 ** -22, 2],
    [0, -0, 1],
    [2 ** -149, -(2 ** -149), 3],
    [NaN, 1, Infinity],
  ])('%d and %d are %d apart', (a, b, expected) => {
    expect(ulpsApart(a, b)).toBe(expected);
  });
});

describe('ulp', () => {
  it.each([
    [1, 2 ** -23],
    [-1.5, 2 ** -23],
    [2, 2 ** -22],
    [0, 2 ** -149],
    [2 ** -130, 2 ** -149],
  ])('of %d is %d', (value, expected) => {
    expect(ulp(value)).toBe(expected);
  });
});

describe('hashBits', () => {
  it('is FNV-1a of the bytes', () => {
    // "foobar" and two zero bytes: the published test vector of "foobar" is 0xbf9cf968, carried on by two more steps.
    const words = Uint32Array.of(0x626f6f66, 0x00007261);
    const carriedOn = Math.imul(Math.imul(0xbf9cf968, 0x01000193), 0x01000193) >>> 0;
    expect(hashBits(new Float32Array(words.buffer))).toBe(carriedOn);
  });

  it('counts every NaN as one value', () => {
    const payloads = Uint32Array.of(0x7fc00000, 0xffc00001);
    const [one, other] = [payloads.subarray(0, 1), payloads.subarray(1, 2)];
    expect(hashBits(new Float32Array(other.slice().buffer))).toBe(hashBits(new Float32Array(one.slice().buffer)));
  });
});

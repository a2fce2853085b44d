import { assert } from 'vitest';

/** How many differing elements a message lists. */
const SHOWN = 5;

/**
 * Fails unless both arrays are equal element by element in the sense of `Object.is`: 0 is not −0, and NaN equals NaN.
 *
 * A wanted NaN is so checked too: a case that should not have one does not expect one.
 */
export function expectSameBits(actual: ArrayLike<number>, expected: ArrayLike<number>, label = 'array'): void {
  assert.strictEqual(actual.length, expected.length, `${label}: number of elements`);
  const differing: number[] = [];
  for (let i = 0; i < expected.length; i++) {
    if (!Object.is(actual[i], expected[i])) differing.push(i);
  }
  if (differing.length === 0) return;
  const lines = differing.slice(0, SHOWN).map((i) => `  [${i}] got ${show(actual[i])}, expected ${show(expected[i])}`);
  assert.fail(`${label}: ${differing.length} of ${expected.length} elements differ\n${lines.join('\n')}`);
}

/** Steps from one f32 to the next between two f32 numbers; `Infinity` when one of them is NaN. */
export function ulpsApart(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Infinity;
  return Math.abs(orderedBits(a) - orderedBits(b));
}

/** Distance from `|value|`, rounded to f32, to the next larger f32. */
export function ulp(value: number): number {
  const [bits = 0] = new Uint32Array(Float32Array.of(Math.abs(value)).buffer);
  const exponent = Math.max(bits >>> 23, 1);
  return 2 ** (exponent - 127 - 23);
}

/**
 * FNV-1a of the little-endian bytes, in 32 bits. NaNs count as one value.
 *
 * Golden cases too large to be stored carry this number; see `golden/README.md`.
 */
export function hashBits(values: Float32Array): number {
  let hash = 0x811c9dc5;
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  words.forEach((word, i) => {
    const bits = Number.isNaN(values[i]) ? 0x7fc00000 : word;
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((bits >>> shift) & 0xff), 0x01000193);
  });
  return hash >>> 0;
}

/** The bits as an integer that grows with the number, −0 and 0 apart by one. */
function orderedBits(value: number): number {
  const [bits = 0] = new Int32Array(Float32Array.of(value).buffer);
  return bits < 0 ? -(bits & 0x7fffffff) - 1 : bits;
}

function show(value: number | undefined): string {
  if (value === undefined) return 'nothing';
  const [bits = 0] = new Uint32Array(Float32Array.of(value).buffer);
  return `${Object.is(value, -0) ? '-0' : String(value)} (0x${bits.toString(16).padStart(8, '0')})`;
}

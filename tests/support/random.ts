/**
 * Numbers that look random and are the same bits in every language.
 *
 * The formula is written three times, here, in `golden/formula.py` and in `crates/core/tests/golden/formula.rs`, so that
 * golden cases store a seed instead of their inputs. Every step is an integer operation or one correctly rounded f32
 * operation; none depends on the platform. Elements are numbered, not drawn in turn: element i needs no other.
 */

/** What a sequence looks like. `normal` has mean 0 and deviation 1 before `scale` and `offset`, `uniform` is [0, 1). */
export interface Distribution {
  readonly distribution?: 'normal' | 'uniform';
  readonly scale?: number;
  readonly offset?: number;
  /** Applied last, in order. */
  readonly edits?: readonly Edit[];
}

/** Overwrites `count` elements, the first at `start` and then every `stride`-th, with a constant. */
export interface Edit {
  readonly start: number;
  readonly count: number;
  readonly stride: number;
  readonly value: number;
}

/** The golden ratio in 32 bits: consecutive element numbers become states far apart (Steele, Lea and Flood, SplitMix). */
const WEYL = 0x9e3779b9;

/** √3 rounded to f32: the deviation of the sum of four uniform numbers is 1/√3. */
const ROOT_THREE = Math.fround(Math.sqrt(3));

/** 32 random bits: number `index` of the sequence `seed`. */
export function randomBits(seed: number, index: number): number {
  return mix((mix(seed) + Math.imul(index, WEYL)) >>> 0);
}

/** A number in [0, 1) with 24 random bits, which f32 holds exactly. */
export function randomUniform(seed: number, index: number): number {
  return (randomBits(seed, index) >>> 8) / 2 ** 24;
}

/** Roughly normal with mean 0 and deviation 1, within ±2√3: the sum of four uniform numbers of 21 bits, times √3. */
export function randomNormal(seed: number, index: number): number {
  let sum = -(2 ** 22);
  for (let part = 0; part < 4; part++) sum += randomBits(seed, Math.imul(index, 4) + part) >>> 11;
  return Math.fround((sum / 2 ** 21) * ROOT_THREE);
}

/** `count` numbers of the sequence `seed`: `f32(f32(number · scale) + offset)`, then the edits. */
export function randomArray(seed: number, count: number, distribution: Distribution = {}): Float32Array {
  const draw = distribution.distribution === 'uniform' ? randomUniform : randomNormal;
  const scale = Math.fround(distribution.scale ?? 1);
  const offset = Math.fround(distribution.offset ?? 0);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = Math.fround(draw(seed, i) * scale) + offset;
  for (const edit of distribution.edits ?? []) {
    for (let i = 0; i < edit.count; i++) values[edit.start + i * edit.stride] = edit.value;
  }
  return values;
}

/** A bijection of 32 bits in which every input bit moves every output bit (C. Wellons, hash-prospector). */
function mix(value: number): number {
  let bits = value >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

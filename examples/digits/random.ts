/** Numbers that look random and are the same on every machine for the same seed. */

/** Returns the next number in [0, 1). */
export type Random = () => number;

/**
 * A generator of its own per purpose (weights, batches, …), so that a change in one does not shift the others.
 * The mixing step is splitmix32: a counter, then a bijection in which every input bit moves every output bit.
 *
 * @param seed - an integer; only its lowest 32 bits count.
 * @param stream - which of the seed's independent sequences.
 */
export function randomStream(seed: number, stream: number): Random {
  let state = mix(Math.imul(seed, 0x9e3779b9) ^ mix(stream + 1));
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return (mix(state) >>> 8) / 2 ** 24;
  };
}

/** `count` values, uniform in [−bound, bound). */
export function uniform(random: Random, count: number, bound: number): Float32Array {
  return Float32Array.from({ length: count }, () => (2 * random() - 1) * bound);
}

/** The numbers 0 … count − 1 in random order (Fisher and Yates). */
export function permutation(random: Random, count: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other] ?? 0, order[last] ?? 0];
  }
  return order;
}

function mix(value: number): number {
  let bits = value >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

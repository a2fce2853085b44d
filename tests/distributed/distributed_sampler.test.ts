import fc from 'fast-check';
import { DistributedSampler } from 'syncbn/distributed';
import { describe, expect, it } from 'vitest';

function takenBy(samples: number, numReplicas: number, options: object, epoch = 0): number[][] {
  return Array.from({ length: numReplicas }, (_, rank) => {
    const sampler = new DistributedSampler(samples, { numReplicas, rank, ...options });
    sampler.setEpoch(epoch);
    const taken = [...sampler];
    expect(taken).toHaveLength(sampler.length);
    return taken;
  });
}

describe('DistributedSampler', () => {
  it('gives_each_sample_to_somebody_and_all_equally_many', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 7 }),
        fc.nat(9),
        fc.boolean(),
        (n, ranks, seed, shuffle) => {
          const taken = takenBy(n, ranks, { seed, shuffle });
          expect(new Set(taken.map(({ length }) => length)).size).toBe(1);
          expect(new Set(taken.flat()).size).toBe(n);
          expect(taken.flat().length - n).toBeLessThan(ranks);
        },
      ),
      { seed: 1 },
    );
  });

  it('leaves_the_rest_out_with_dropLast_and_repeats_none', () => {
    const taken = takenBy(11, 3, { dropLast: true }).flat();
    expect(taken).toHaveLength(9);
    expect(new Set(taken).size).toBe(9);
  });

  it('takes_every_nth_in_order_without_shuffle', () => {
    expect(takenBy(5, 2, { shuffle: false })).toEqual([
      [0, 2, 4],
      [1, 3, 0],
    ]);
  });

  it('has_another_order_in_each_epoch_and_for_each_seed', () => {
    const orders = [takenBy(20, 1, {}), takenBy(20, 1, {}, 1), takenBy(20, 1, { seed: 1 })].map(String);
    expect(new Set(orders).size).toBe(3);
    expect(String(takenBy(20, 1, {}))).toBe(orders[0]);
  });

  it('puts_each_sample_at_each_place_equally_often', () => {
    const counts = new Map<number, number>();
    for (let epoch = 0; epoch < 3000; epoch++) {
      const [[first = -1] = []] = takenBy(3, 1, {}, epoch);
      counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(130);
  });

  it.each([
    [-1, { numReplicas: 1, rank: 0 }],
    [3, { numReplicas: 0, rank: 0 }],
    [3, { numReplicas: 2, rank: 2 }],
    [3, { numReplicas: 2, rank: 0, seed: 0.5 }],
  ])('refuses_%j_with_%j', (samples, options) => {
    expect(() => new DistributedSampler(samples, options)).toThrow(RangeError);
  });
});

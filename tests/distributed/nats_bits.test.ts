/** Ranks that meet at a real NATS server have the bits of one device. */

import fc from 'fast-check';
import { init } from 'syncbn';
import { initProcessGroup, type ProcessGroup } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { type NatsServer, startNatsServer } from '../support/nats_server.ts';
import { randomArray } from '../support/random.ts';
import { expectWhole, rankedLayer, stepOf, wholeStep } from './ranked_step.ts';

let server: NatsServer;
beforeAll(async () => {
  [server] = await Promise.all([startNatsServer(), init(['cpu:0'])]);
});
afterAll(() => server.stop());

// A thread has them all, each with a connection of its own. Of eight, some have no sample.
describe.each([2, 3, 4, 8])('%d ranks over NATS', (worldSize) => {
  let groups: ProcessGroup[];
  beforeAll(async () => {
    const backend = nats({ servers: `nats://127.0.0.1:${server.port}` });
    const job = `bits-${worldSize}`;
    groups = await Promise.all(
      Array.from({ length: worldSize }, (_, rank) => initProcessGroup({ backend, job, rank, worldSize })),
    );
  });
  afterAll(() => Promise.all(groups.map((group) => group.destroy())));

  it.each(['stable', 'torch'] as const)('give_any_split_the_bits_of_one_device_%s', async (numerics) => {
    const splits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: worldSize, maxLength: worldSize });
    const property = fc.asyncProperty(splits, fc.constantFrom(1, 5), async (samples, length) => {
      const total = sum(samples);
      fc.pre(total * length > 1);
      const batch = { channels: 3, length, seed: 7 * total + length, options: { numerics } };
      const ranks = groups.map(async (group, rank) => {
        const own = samples[rank] ?? 0;
        const { layer, net } = await rankedLayer(batch, { devices: ['cpu:0'], samples: [own] }, group);
        return stepOf(layer, net, batch, 'cpu:0', sum(samples.slice(0, rank)), own);
      });
      expectWhole(await Promise.all(ranks), await wholeStep(batch, 'cpu:0', total));
    });
    await fc.assert(property, { seed: worldSize, numRuns: 8 });
  });

  it.each([100, 40_000])('add_up_%d_values_in_order_of_ranks', async (length) => {
    const values = groups.map(({ rank }) => randomArray(rank, length));
    const expected = Float32Array.from({ length }, (_, i) =>
      values.reduce((total, own) => Math.fround(total + (own[i] ?? NaN)), 0),
    );
    const sums = await Promise.all(groups.map((group) => group.allReduce(randomArray(group.rank, length))));
    for (const [rank, found] of sums.entries()) expectSameBits(found, expected, `rank ${rank}`);
    expect(sums).toHaveLength(worldSize);
  });
});

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

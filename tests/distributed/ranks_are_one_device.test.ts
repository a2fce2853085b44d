import fc from 'fast-check';
import { init } from 'syncbn';
import { type ProcessGroup, runRanks } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { deviceKinds, deviceNames, numericsOf, oneDeviceOf } from '../support/device_kinds.ts';
import { runPorts, ways } from './ports_groups.ts';
import {
  expectWhole,
  type RankedBatch,
  rankedLayer,
  type RankResult,
  type RankShare,
  stepOf,
  wholeStep,
} from './ranked_step.ts';

describe.each(deviceKinds)('ranks on %s give the bits of one device', (kind) => {
  beforeAll(() => init([...deviceNames(kind, 6), oneDeviceOf(kind)]));

  /** Shares with devices of their own, two of a kind for each rank at most. */
  function sharesOf(samples: readonly (readonly number[])[]): RankShare[] {
    return samples.map((own, rank) => ({
      devices: deviceNames(kind, 6).slice(2 * rank, 2 * rank + own.length),
      samples: own,
    }));
  }

  async function ranked(batch: RankedBatch, samples: readonly (readonly number[])[]): Promise<RankResult[]> {
    const shares = sharesOf(samples);
    const totals = shares.map((share) => sum(share.samples));
    return runRanks(shares.length, async (group) => {
      const share = shares[group.rank] ?? { devices: [], samples: [] };
      const { layer, net } = await rankedLayer(batch, share, group);
      const [device = ''] = share.devices;
      return stepOf(layer, net, batch, device, sum(totals.slice(0, group.rank)), sum(share.samples));
    });
  }

  it.each(numericsOf(kind))('for any split over ranks and devices, %s numerics', async (numerics) => {
    const share = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 2 });
    const splits = fc.array(share, { minLength: 2, maxLength: 3 });
    const property = fc.asyncProperty(splits, fc.constantFrom(1, 4), async (samples, length) => {
      const total = sum(samples.map(sum));
      fc.pre(total * length > 1);
      const batch = { channels: 3, length, seed: 10 * total, options: { numerics } };
      expectWhole(await ranked(batch, samples), await wholeStep(batch, oneDeviceOf(kind), total));
    });
    await fc.assert(property, { seed: 5, numRuns: kind === 'webgpu' ? 6 : 12 });
  });

  it.each([
    ['no weight and bias', { affine: false }],
    ['cumulative averages', { momentum: null }],
    ['no running statistics', { trackRunningStats: false }],
  ])('with %s', async (_, options) => {
    const batch = { channels: 2, length: 5, seed: 3, options };
    expectWhole(await ranked(batch, [[3], [0, 2], [1]]), await wholeStep(batch, oneDeviceOf(kind), 6));
  });
});

describe.each(['one thread', ...ways])('five to eight ranks, by %s,', (way) => {
  const device = 'cpu:0';
  beforeAll(() => init(['cpu:0', 'cpu:1']));

  it.each(numericsOf('cpu'))('give the bits of one device for any split, %s numerics', async (numerics) => {
    // Some ranks have two devices, some no samples.
    const share = fc.oneof(fc.tuple(fc.nat(5)), fc.tuple(fc.nat(4), fc.nat(4)), fc.constant([0]));
    const splits = fc.array(share, { minLength: 5, maxLength: 8 });
    const property = fc.asyncProperty(splits, fc.constantFrom(1, 3), async (samples, length) => {
      const total = sum(samples.map(sum));
      fc.pre(total * length > 1);
      const batch = { channels: 2, length, seed: 10 * total + length, options: { numerics } };
      const run = async (group: ProcessGroup): Promise<RankResult> => {
        const own = samples[group.rank] ?? [0];
        const devices = ['cpu:0', 'cpu:1'].slice(0, own.length);
        const { layer, net } = await rankedLayer(batch, { devices, samples: own }, group);
        const first = sum(samples.slice(0, group.rank).map(sum));
        return stepOf(layer, net, batch, device, first, sum(own));
      };
      const results = await (way === 'one thread' ? runRanks(samples.length, run) : runPorts(samples.length, way, run));
      expectWhole(results, await wholeStep(batch, device, total));
    });
    await fc.assert(property, { seed: 8, numRuns: 6 });
  });
});

it('one_value_on_each_rank_is_a_batch', async () => {
  const batch = { channels: 2, length: 1, seed: 4 };
  const results = await runRanks(2, async (group) => {
    const { layer, net } = await rankedLayer(batch, { devices: ['cpu:0'], samples: [1] }, group);
    return stepOf(layer, net, batch, 'cpu:0', group.rank, 1);
  });
  expectWhole(results, await wholeStep(batch, 'cpu:0', 2));
});

it('one_value_in_all_is_refused_on_every_rank', async () => {
  const batch = { channels: 2, length: 1, seed: 4 };
  const errors = await runRanks(2, async (group) => {
    const { layer, net } = await rankedLayer(batch, { devices: ['cpu:0'], samples: [group.rank] }, group);
    return stepOf(layer, net, batch, 'cpu:0', 0, group.rank).catch((error: unknown) => error);
  });
  for (const error of errors) expect(String(error)).toContain('Expected more than 1 value per channel when training');
});

it('a_group_of_one_rank_is_no_group', async () => {
  const batch = { channels: 2, length: 3, seed: 6 };
  const refused = { rank: 0, size: 1, allGather: () => Promise.reject(new Error('nobody is there')) };
  const { layer, net } = await rankedLayer(batch, { devices: ['cpu:0'], samples: [4] }, refused);
  expectWhole([await stepOf(layer, net, batch, 'cpu:0', 0, 4)], await wholeStep(batch, 'cpu:0', 4));
});

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

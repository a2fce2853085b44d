import fc from 'fast-check';
import { devices, init, type MemoryFormat } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { RUN_VALUES } from '../../ts/device/joint_pass.ts';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomBits } from '../support/random.ts';
import { type Batch, expectSameStep, runOnOneDevice, runSplit } from './sharded_step.ts';

/** Heights and widths whose product is L. */
const planes = new Map([
  [1, [1, 1]],
  [2, [1, 2]],
  [7, [7, 1]],
  [49, [7, 7]],
  [100, [10, 10]],
]);
const formats: readonly MemoryFormat[] = ['contiguous', 'channels_last'];

// GPUs in Node alone: the adapter and the kernels are those of Chromium, and compiling them for every device and length takes most of the time.
const kinds = 'document' in globalThis ? deviceKinds.filter((kind) => kind !== 'webgpu') : deviceKinds;

describe.each(kinds)('several devices of kind %s give the bits of one', (kind) => {
  // Kernels of an emulated GPU are compiled for every device and length. With 17 devices the process that Chromium has for
  // them would end at its system's limit of memory mappings, so those of 17 are left to single lengths, below.
  const isEmulated = kind === 'webgpu';
  const worlds = isEmulated ? [1, 2, 3, 5] : Array.from({ length: 17 }, (_, i) => i + 1);
  // Each length costs so many compilations of all kernels.
  const lengths = isEmulated ? [1, 7, 49] : [...planes.keys()];
  const numRuns = isEmulated ? 10 : 25;

  beforeAll(() => init(deviceNames(kind, 17)));

  function batch(samples: number, length: number, others: Partial<Batch> = {}): Batch {
    return {
      kind,
      shape: [samples, 3, ...(planes.get(length) ?? [1, length])],
      seed: 100 * samples + length,
      ...others,
    };
  }

  describe.each(numericsOf(kind))('%s numerics', (numerics) => {
    describe.each(formats)('%s', (memoryFormat) => {
      it.each(lengths)(`for 1 to ${worlds.at(-1)} devices with L = %d`, async (length) => {
        const given = batch(34, length, { memoryFormat, options: { numerics } });
        const whole = await runOnOneDevice(given);
        for (const world of worlds) {
          const each = Math.floor(34 / world);
          const samples = Array.from({ length: world }, (_, r) => (r < world - 1 ? each : 34 - each * (world - 1)));
          expectSameStep(await runSplit(given, { samples }), whole, `${world} devices`);
        }
      });

      it('for any split, empty shards among them', async () => {
        const shards = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 8 });
        const property = fc.asyncProperty(shards, fc.constantFrom(...lengths), async (samples, length) => {
          const total = samples.reduce((sum, count) => sum + count, 0);
          fc.pre(total * length > 1);
          const given = batch(total, length, { memoryFormat, options: { numerics } });
          expectSameStep(await runSplit(given, { samples }), await runOnOneDevice(given), `split ${samples.join('+')}`);
        });
        await fc.assert(property, { seed: 7, numRuns });
      });
    });

    it('for 2-D batches', async () => {
      const given: Batch = { kind, shape: [37, 5], seed: 3, options: { numerics } };
      const whole = await runOnOneDevice(given);
      for (const samples of [
        [19, 18],
        [1, 1, 35],
        [0, 37],
        [36, 0, 1],
        Array.from({ length: 17 }, (_, r) => (r < 16 ? 2 : 5)),
      ]) {
        expectSameStep(await runSplit(given, { samples }), whole, samples.join('+'));
      }
    });

    it('in every order of arrival', async () => {
      const given = batch(11, 7, { options: { numerics } });
      const whole = await runOnOneDevice(given);
      for (const turns of permutations([0, 40, 80, 120])) {
        expectSameStep(await runSplit(given, { samples: [4, 1, 0, 6], turns }), whole, `turns ${turns.join(', ')}`);
      }
    });

    it('in arbitrary orders of arrival on 17 devices', async () => {
      const given = batch(34, 2, { options: { numerics } });
      const whole = await runOnOneDevice(given);
      for (let schedule = 0; schedule < 5; schedule++) {
        const turns = Array.from({ length: 17 }, (_, r) => randomBits(schedule, r) % 50);
        expectSameStep(await runSplit(given, { samples: turns.map(() => 2), turns }), whole, `schedule ${schedule}`);
      }
    });

    it.each([
      ['far from zero', { offset: 1e4, scale: 1e-2 }],
      ['very far from zero', { offset: 1e6 }],
      ['constant', { scale: 0, offset: 3 }],
      ['with an outlier first', { edits: [{ start: 0, count: 1, stride: 1, value: 1e6 }] }],
      ['with a value that is not finite', { edits: [{ start: 5, count: 1, stride: 1, value: Infinity }] }],
    ])('for data %s', async (_, data) => {
      const given = batch(9, 49, { data, options: { numerics } });
      expectSameStep(await runSplit(given, { samples: [2, 3, 4] }), await runOnOneDevice(given), 'step');
    });
  });

  it.each([
    ['cumulative averages', { momentum: null }],
    ['no weight and bias', { affine: false }],
    ['a weight alone', { bias: false }],
    ['a bias alone', { weight: false }],
    ['a biased running variance', { runningVar: 'biased' as const }],
    ['no running statistics', { trackRunningStats: false }],
  ])('with %s', async (_, options) => {
    const given = batch(8, 7, { options });
    expectSameStep(await runSplit(given, { samples: [3, 0, 5] }), await runOnOneDevice(given), 'step');
  });

  it('and leaves no memory behind', async () => {
    const names = deviceNames(kind, 3);
    await collectGarbage();
    const before = names.map((name) => devices.get(name).memoryUsage().buffers);
    await runSplit(batch(8, 7), { samples: [3, 0, 5] });
    expect(names.map((name) => devices.get(name).memoryUsage().buffers)).toEqual(before);
  });
});

describe.each(['cpu', 'worker'] as const)('a group of kind %s that works on some channels at a time', (kind) => {
  beforeAll(() => init(deviceNames(kind, 2)));

  // From a run of all three channels to one of a single channel, forward; backward reads two inputs, and has runs of half the channels.
  const boundaries = [RUN_VALUES / 4, RUN_VALUES / 2, RUN_VALUES].flatMap((length) => [length - 1, length, length + 1]);
  it.each(boundaries)('gives the bits of one device with L = %d', async (length) => {
    const given: Batch = { kind, shape: [3, 3, 1, length], seed: length };
    expectSameStep(await runSplit(given, { samples: [1, 2] }), await runOnOneDevice(given), `L = ${length}`);
  });
});

/** Every order in which the items can come. */
function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) =>
    permutations(items.filter((_, other) => other !== i)).map((rest) => [item, ...rest]),
  );
}

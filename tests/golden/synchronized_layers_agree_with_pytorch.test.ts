import {
  DataParallelWithCallBack,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
  type BatchNorm,
  type MemoryFormat,
  type Numerics,
} from 'syncbn';
import { describe, expect, it } from 'vitest';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { expectWithin, type Quantity } from '../support/tolerances.ts';
import { expectAgreement } from './agreement.ts';
import { casesFor, runsWhole, suitesFor } from './cases_by_place.ts';
import { readSuite, type GoldenCase, type GoldenStep } from './golden_data.ts';
import { initialize, layerClasses, optionsOf, runStep, type StepRecord } from './golden_layer.ts';

const variants: [Numerics, MemoryFormat, number][] = [
  ['torch', 'contiguous', 2],
  ['torch', 'channels_last', 3],
  ['stable', 'contiguous', 2],
  ['stable', 'contiguous', 7],
  ['stable', 'channels_last', 3],
];

const synchronizedClasses = {
  BatchNorm1d: SynchronizedBatchNorm1d,
  BatchNorm2d: SynchronizedBatchNorm2d,
  BatchNorm3d: SynchronizedBatchNorm3d,
};

/** What is compared with one device, and by which column of the table. */
const compared: [Exclude<keyof StepRecord, 'numBatchesTracked' | 'memoryFormat' | 'before'>, Quantity][] = [
  ['y', 'output'],
  ['runningMean', 'running'],
  ['runningVar', 'running'],
  ['dx', 'gradient'],
  ['dweight', 'gradient'],
  ['dbias', 'gradient'],
];

describe.each(deviceKinds)('on %s', (kind) => {
  describe.each(suitesFor(kind))('%s', (suite) => {
    const { values } = readSuite(suite);

    const casesIn = (memoryFormat: MemoryFormat): [string, GoldenCase][] => {
      const rank = memoryFormat === 'channels_last' ? 3 : 2;
      return casesFor(kind, suite)
        .filter((given) => given.steps.every((step) => step.shape.length >= rank && isSynchronized(given, step)))
        .map((given) => [given.name, given]);
    };
    const isHere = ([numerics, memoryFormat, world]: (typeof variants)[number]): boolean =>
      numericsOf(kind).includes(numerics) && (runsWhole(kind) || world <= 3) && casesIn(memoryFormat).length > 0;

    describe.each(variants.filter(isHere))('%s numerics, %s, %d devices', (numerics, memoryFormat, world) => {
      const devices = deviceNames(kind, world);
      const [device = ''] = devices;
      it.each(casesIn(memoryFormat))('agrees with PyTorch and with one device: %s', async (_name, given) => {
        const options = { ...optionsOf(given), numerics, device };
        const one: BatchNorm = new layerClasses[given.kind](given.num_features, options);
        const several = new synchronizedClasses[given.kind](given.num_features, options);
        const wrapped = new DataParallelWithCallBack(several, { deviceIds: devices });
        await initialize(one, given);
        await initialize(several, given);
        for (const step of given.steps) {
          const alone = await runStep(one, one, step, { device, memoryFormat });
          const record = await runStep(wrapped, several, step, { device, memoryFormat });
          expect(record.memoryFormat).toBe(memoryFormat);
          if (step.expected === null) continue;
          expectSameAsOneDevice(record, alone, step);
          // A stable training step that has the bits of one device is compared with f64 where one device is tested.
          if (numerics === 'torch' || !step.training) {
            expectAgreement({ given, shape: step.shape, expected: step.expected, record, values }, numerics, kind);
          }
        }
      });
    });
  });
});

/** Evaluation without running statistics normalizes each share by its own, as PyTorch does, for it never communicates. */
function isSynchronized(given: GoldenCase, step: GoldenStep): boolean {
  return step.training || given.options.track_running_stats;
}

/**
 * In evaluation nothing is merged before the parameters: their gradients are sums of the replicas' own, rounded for each
 * of them. Everything else has the same bits.
 */
function expectSameAsOneDevice(record: StepRecord, alone: StepRecord, step: GoldenStep): void {
  expect(record.numBatchesTracked).toBe(alone.numBatchesTracked);
  for (const [name, quantity] of compared) {
    if (!step.training && (name === 'dweight' || name === 'dbias')) continue;
    const [actual, expected] = [record[name], alone[name]];
    expect(actual === null, `${name} is absent`).toBe(expected === null);
    if (actual === null || expected === null) continue;
    expectWithin('several devices against one', quantity, actual, expected, name);
  }
}

import { describe, expect, it } from 'vitest';
import type { BatchNorm, MemoryFormat, Numerics } from 'syncbn';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { expectAgreement } from './agreement.ts';
import { casesFor, suitesFor } from './cases_by_place.ts';
import { readSuite, type GoldenCase } from './golden_data.ts';
import { initialize, layerClasses, optionsOf, runStep } from './golden_layer.ts';

const variants: [Numerics, MemoryFormat][] = [
  ['torch', 'contiguous'],
  ['torch', 'channels_last'],
  ['stable', 'contiguous'],
  ['stable', 'channels_last'],
];

describe.each(deviceKinds)('on %s', (kind) => {
  describe.each(suitesFor(kind))('%s', (suite) => {
    const { values } = readSuite(suite);

    const casesIn = (memoryFormat: MemoryFormat): [string, GoldenCase][] => {
      const rank = memoryFormat === 'channels_last' ? 3 : 2;
      return casesFor(kind, suite)
        .filter(({ steps }) => steps.every(({ shape }) => shape.length >= rank))
        .map((given) => [given.name, given]);
    };
    const isHere = ([numerics, memoryFormat]: (typeof variants)[number]): boolean =>
      numericsOf(kind).includes(numerics) && casesIn(memoryFormat).length > 0;

    describe.each(variants.filter(isHere))('%s numerics, %s', (numerics, memoryFormat) => {
      it.each(casesIn(memoryFormat))('agrees with PyTorch: %s', async (_name, given) => {
        const [device = ''] = deviceNames(kind, 1);
        const layer: BatchNorm = new layerClasses[given.kind](given.num_features, {
          ...optionsOf(given),
          numerics,
          device,
        });
        await initialize(layer, given);
        for (const step of given.steps) {
          const record = await runStep(layer, layer, step, { device, memoryFormat });
          expect(record.memoryFormat).toBe(memoryFormat);
          if (step.expected === null) continue;
          expectAgreement({ given, shape: step.shape, expected: step.expected, record, values }, numerics, kind);
        }
      });
    });
  });
});

import { describe, expect, it } from 'vitest';
import type { BatchNorm, MemoryFormat, Numerics } from 'syncbn';
import { deviceKinds, deviceNames, numericsOf } from '../support/device_kinds.ts';
import { expectAgreement } from './agreement.ts';
import { casesFor, suites } from './cases_by_place.ts';
import { readSuite } from './golden_data.ts';
import { initialize, layerClasses, optionsOf, runStep } from './golden_layer.ts';

const variants: [Numerics, MemoryFormat][] = [
  ['torch', 'contiguous'],
  ['torch', 'channels_last'],
  ['stable', 'contiguous'],
  ['stable', 'channels_last'],
];

describe.each(deviceKinds)('on %s', (kind) => {
  describe.each(suites)('%s', (suite) => {
    const { values } = readSuite(suite);

    describe.each(variants.filter(([numerics]) => numericsOf(kind).includes(numerics)))(
      '%s numerics, %s',
      (numerics, memoryFormat) => {
        const rank = memoryFormat === 'channels_last' ? 3 : 2;
        const named = casesFor(kind, suite)
          .filter(({ steps }) => steps.every(({ shape }) => shape.length >= rank))
          .map((given) => [given.name, given] as const);

        it.each(named)('agrees with PyTorch: %s', async (_name, given) => {
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
      },
    );
  });
});

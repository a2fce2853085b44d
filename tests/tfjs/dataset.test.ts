/** `fitDataset` with datasets of tfjs-data, against tfjs itself: on one device and on three. */

import * as tf from '@tensorflow/tfjs-core';
import * as tfData from '@tensorflow/tfjs-data';
import { layers, type ModelFitDatasetArgs, sequential } from '@tensorflow/tfjs-layers';
import { beforeAll, expect, it, vi } from 'vitest';
import { convertModel, DataParallel } from 'syncbn';
import { fitDataset, fromLayersModel } from 'syncbn/tfjs';
import { randomArray } from '../support/random.ts';
import { useBackend } from './backends.ts';
import { type ModelMaker, twins } from './models.ts';
import { difference, weightsOf } from './passes.ts';
import { plainBatchNorm } from './reference_batch_norm.ts';

beforeAll(() => useBackend('cpu'));

const regression: ModelMaker = (norm) =>
  sequential({
    layers: [
      layers.dense({ units: 6, inputShape: [5], useBias: false }),
      norm(),
      layers.reLU(),
      layers.dense({ units: 2 }),
    ],
  });

interface Row extends tf.TensorContainerObject {
  xs: number[];
  ys: number[];
}

/** Rows one by one, as a program reads them from a file. */
function rows(count: number, seed = 1): tfData.Dataset<Row> {
  const [xs, ys] = [randomArray(seed, count * 5), randomArray(seed + 1, count * 2)];
  return tfData.array(
    Array.from({ length: count }, (_, i) => ({
      xs: [...xs.subarray(5 * i, 5 * i + 5)],
      ys: [...ys.subarray(2 * i, 2 * i + 2)],
    })),
  );
}

/* eslint-disable @typescript-eslint/no-unsafe-class-instance-assignment -- tfjs-data makes its datasets by a function */
it.each<
  [
    what: string,
    dataset: () => tfData.Dataset<tf.TensorContainer>,
    args: () => Partial<ModelFitDatasetArgs<tf.TensorContainer>>,
  ]
>([
  ['in_batches_of_which_the_last_is_smaller', () => rows(20).batch(6), () => ({})],
  ['shuffled_with_a_seed', () => rows(18).shuffle(9, 'seed').batch(6), () => ({})],
  ['repeated_by_a_number_of_batches', () => rows(18).repeat().batch(4), () => ({ batchesPerEpoch: 5 })],
  [
    'mapped_and_filtered',
    () =>
      rows(20)
        .filter(({ xs }) => (xs[0] ?? 0) > -1)
        .map(({ xs, ys }) => ({ xs: xs.map((x) => 2 * x), ys }))
        .batch(5),
    () => ({}),
  ],
  [
    'from_a_generator_of_tensors',
    () =>
      tfData.generator(function* () {
        for (let i = 0; i < 3; i += 1)
          yield { xs: tf.tensor(randomArray(i, 30), [6, 5]), ys: tf.tensor(randomArray(i + 9, 12), [6, 2]) };
      } as never),
    () => ({}),
  ],
  ['with_a_dataset_for_validation', () => rows(20).batch(6), () => ({ validationData: rows(12, 5).batch(5) })],
  [
    'with_some_batches_for_validation',
    () => rows(20).batch(6),
    () => ({ validationData: rows(12, 5).batch(5), validationBatches: 2 }),
  ],
])('a_dataset_%s_trains_as_by_tfjs', async (_, dataset, argsOf) => {
  const [plain, one] = twins(regression, plainBatchNorm, plainBatchNorm);
  const [, three] = twins(regression, plainBatchNorm, plainBatchNorm);
  const optimizer = tf.train.sgd(0.05);
  for (const model of [plain, one, three]) model.compile({ optimizer, loss: 'meanSquaredError', metrics: ['mse'] });
  const args = { epochs: 2, ...argsOf() };
  const expected = await plain.fitDataset(dataset(), args);
  for (const [model, deviceIds] of [
    [one, ['cpu:0']],
    [three, ['cpu:0', 'cpu:1', 'cpu:2']],
  ] as const) {
    const network = convertModel(new DataParallel(fromLayersModel(model), { deviceIds }));
    const { numTensors } = tf.memory();
    const { history } = await fitDataset(network, dataset(), args as Parameters<typeof fitDataset>[2]);
    expect(tf.memory().numTensors).toBe(numTensors);
    expect(Object.keys(history).sort()).toEqual(Object.keys(expected.history).sort());
    for (const [name, values] of Object.entries(expected.history)) {
      expect(difference([history[name] as number[]], [values as number[]]), name).toBeLessThan(1e-5);
    }
    await network.module.writeBack();
    expect(difference(weightsOf(model), weightsOf(plain))).toBeLessThan(1e-5);
  }
});

it('a_dataset_that_ends_early_is_told_of_and_what_was_learned_stays', async () => {
  const [plain, own] = twins(regression, plainBatchNorm, plainBatchNorm);
  for (const model of [plain, own]) model.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' });
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  const { history } = await fitDataset(fromLayersModel(own), rows(12).batch(6), { epochs: 1, batchesPerEpoch: 5 });
  const texts = warned.mock.calls.map(String);
  warned.mockRestore();
  expect(texts).toEqual([expect.stringContaining('ended after 2 batches of an epoch of 5')]);
  expect(history['loss']).toHaveLength(1);
});

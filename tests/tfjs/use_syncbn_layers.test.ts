/** tfjs' batch normalization layers, computing with this library, against tfjs' own and against the formula. */

import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { useSyncbnLayers } from 'syncbn/tfjs';
import { devices } from 'syncbn';
import { beforeEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../support/event_loop.ts';
import { hostBackends, useBackend } from './backends.ts';
import { distance, expectClose, formulaOf, layerOf, random, stepOf, type Variant } from './batch_norm_step.ts';

beforeEach(collectGarbage);

const { batchNormalization, dense, flatten, reLU } = layers.layers;

/** Runs `work` with the layers exchanged. */
async function exchanged<T>(work: () => T | Promise<T>): Promise<T> {
  const undo = await useSyncbnLayers(layers);
  try {
    return await work();
  } finally {
    undo();
  }
}

describe.each(hostBackends)('on the backend %s', (backend) => {
  beforeEach(() => useBackend(backend));

  it.each<Variant & { shape: number[] }>([
    { shape: [6, 5] },
    { shape: [4, 7, 3] },
    { shape: [4, 5, 6, 3] },
    { shape: [4, 5, 6, 3], axis: 1 },
    { shape: [4, 5, 6, 3], axis: 2 },
    { shape: [4, 5, 6, 3], axis: -1, scale: false },
    { shape: [4, 5, 6, 3], axis: 3, center: false },
    { shape: [4, 5, 7], axis: 1, scale: false, center: false },
    { shape: [3, 2, 3, 2, 4] },
    { shape: [3, 4, 2, 3, 2], axis: 1 },
  ])(
    'a_layer_trains_by_the_formula: $shape, axis $axis, scale $scale, center $center',
    async ({ shape, ...variant }) => {
      const [x, dy] = [random(1, shape, 2, 3), random(2, shape)];
      const layer = layerOf(shape, variant);
      const right = formulaOf(layer, variant, x, dy);
      await expectClose(await exchanged(() => stepOf(layer, x, dy)), right);
    },
  );

  it('a_frozen_layer_normalizes_with_its_moving_averages_and_leaves_them', async () => {
    for (const shape of [
      [4, 3, 3, 2],
      [3, 2, 2, 2, 2],
    ]) {
      // prettier-ignore
      const layer = layerOf(shape, { trainable: false });
      const weights = layer.getWeights().map((weight) => weight.dataSync().slice());
      const x = random(3, shape, 2, 3);
      const y = await exchanged(() => layer.apply(x, { training: true }) as tf.Tensor);
      const [gamma = [], beta = [], mean = [], variance = []] = weights;
      const right = Array.from(x.dataSync(), (value, i) => {
        const at = (vector: ArrayLike<number>): number => vector[i % 2] ?? NaN;
        return ((value - at(mean)) / Math.sqrt(at(variance) + 1e-3)) * at(gamma) + at(beta);
      });
      expect(distance(y.dataSync(), right)).toBeLessThan(1e-6);
      expect(layer.getWeights().map((weight) => weight.dataSync())).toEqual(weights);
    }
  });

  it('an_unchanged_fit_gives_the_weights_that_tfjs_gives_and_leaves_nothing_behind', async () => {
    const trained = [];
    const glorot = (seed: number) => ({ kernelInitializer: layers.initializers.glorotUniform({ seed }) });
    const [xs, ys] = [random(4, [10, 12], 2, 1), random(5, [10, 2])];
    for (const uses of [false, true]) {
      const model = layers.sequential({
        layers: [
          dense({ units: 6, inputShape: [12], ...glorot(1) }),
          batchNormalization(),
          reLU(),
          dense({ units: 4, ...glorot(2) }),
          batchNormalization({ momentum: 0.5 }),
          dense({ units: 2, ...glorot(3) }),
        ],
      });
      model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
      const fit = async (): Promise<void> => {
        // The last batch has one sample less than the others.
        await model.fit(xs, ys, { epochs: 2, batchSize: 4, shuffle: false, validationSplit: 0.3 });
      };
      await (uses ? exchanged(fit) : fit());
      trained.push(model.getWeights().map((weight) => weight.dataSync().slice()));
      const [tensors, { buffers }] = [tf.memory().numTensors, devices.get('cpu:0').memoryUsage()];
      await (uses ? exchanged(fit) : fit());
      expect(tf.memory().numTensors).toBe(tensors);
      expect(devices.get('cpu:0').memoryUsage().buffers).toBe(buffers);
      model.dispose();
    }
    const [own = [], ours = []] = trained.map((weights) => weights.flatMap((weight) => [...weight]));
    expect(distance(ours, own)).toBeLessThan(2e-6);
  });

  it('what_tfjs_cannot_train_fits', async () => {
    const model = layers.sequential({
      layers: [batchNormalization({ axis: 1, scale: false, inputShape: [3, 2, 2, 2] }), flatten(), dense({ units: 1 })],
    });
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const batch = [random(6, [4, 3, 2, 2, 2]), random(7, [4, 1])] as const;
    await expect(model.trainOnBatch(...batch)).rejects.toThrow();
    expect(Number(await exchanged(() => model.trainOnBatch(...batch)))).toBeGreaterThan(0);
    expect((await exchanged(() => model.predict(batch[0]) as tf.Tensor)).shape).toEqual([4, 1]);
  });

  it('one_value_per_channel_is_left_to_tfjs', async () => {
    const layer = layerOf([1, 4], {});
    const x = random(8, [1, 4]);
    const y = await exchanged(() => layer.apply(x, { training: true }) as tf.Tensor);
    expect(distance(y.dataSync(), layer.getWeights()[1]?.dataSync() ?? [])).toBeLessThan(1e-6);
  });

  it('a_step_that_fails_leaves_the_moving_averages', async () => {
    const layer = layerOf([4, 300], {});
    const before = layer.getWeights().map((weight) => weight.dataSync().slice());
    const device = devices.get('cpu:0');
    await exchanged(() => {
      const x = random(9, [4, 300]);
      const { buffers, bytesInUse } = device.memoryUsage();
      device.memoryLimit = bytesInUse + 8192;
      try {
        expect(() => stepOf(layer, x, x)).toThrow('out of memory on device cpu:0');
      } finally {
        device.memoryLimit = Infinity;
      }
      expect(device.memoryUsage().buffers).toBe(buffers);
    });
    expect(layer.getWeights().map((weight) => weight.dataSync())).toEqual(before);
  });
});

describe('useSyncbnLayers()', () => {
  beforeEach(() => useBackend('cpu'));

  it('is_undone_by_its_result_and_done_once', async () => {
    const callOfLayers = (): unknown => (batchNormalization({}) as { readonly call: unknown }).call;
    const call = callOfLayers();
    const undo = await useSyncbnLayers(layers);
    expect(await useSyncbnLayers(layers)).toBe(undo);
    expect(callOfLayers()).not.toBe(call);
    undo();
    undo();
    expect(callOfLayers()).toBe(call);
  });

  it('leaves_masks_and_evaluation_alone', async () => {
    const model = layers.sequential({
      layers: [
        layers.layers.masking({ maskValue: 0, inputShape: [3, 2] }),
        batchNormalization(),
        layers.layers.lstm({ units: 2, recurrentInitializer: 'glorotUniform' }),
      ],
    });
    const x = tf.tensor([[[1, 2], [3, 4], [0, 0]]]); // prettier-ignore
    const own = (model.predict(x) as tf.Tensor).dataSync();
    expect(await exchanged(() => (model.predict(x) as tf.Tensor).dataSync())).toEqual(own);
  });

  it.each([undefined, null, tf, { layers: {} }])('refuses_what_has_no_layers: %#', async (given) => {
    await expect(useSyncbnLayers(given as unknown as typeof layers)).rejects.toThrow(
      "import * as tf from '@tensorflow/tfjs' and await useSyncbnLayers(tf)",
    );
  });
});

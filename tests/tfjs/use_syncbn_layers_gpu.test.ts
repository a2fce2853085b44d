/** tfjs' batch normalization layers on its WebGPU backend, computing with this library on the same GPU. */

import * as tf from '@tensorflow/tfjs-core';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as layers from '@tensorflow/tfjs-layers';
import { devices } from 'syncbn';
import { useSyncbnLayers } from 'syncbn/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectClose, formulaOf, layerOf, random, stepOf, type Variant } from './batch_norm_step.ts';

let name = '';
beforeAll(async () => {
  // The library's first use of WebGPU makes `navigator.gpu` in Node. tfjs' own way to a device asks for features in a form that Node refuses.
  const device = await devices.create();
  name = device.name;
  const { gpuDevice } = device;
  tf.registerBackend(
    'webgpu',
    () => new WebGPUBackend(gpuDevice, { vendor: '', architecture: '', device: '', description: '' } as GPUAdapterInfo),
  );
  expect(await tf.setBackend('webgpu')).toBe(true);
  await useSyncbnLayers(layers);
});

describe('on the WebGPU backend', () => {
  it.each<Variant & { shape: number[] }>([
    { shape: [6, 5] },
    { shape: [4, 5, 6, 3] },
    { shape: [4, 5, 6, 3], axis: 1 },
    { shape: [4, 5, 6, 3], scale: false },
    { shape: [3, 2, 3, 2, 4], center: false },
  ])(
    'a_layer_trains_by_the_formula: $shape, axis $axis, scale $scale, center $center',
    async ({ shape, ...variant }) => {
      const [x, dy] = [random(1, shape, 2, 3), random(2, shape)];
      const layer = layerOf(shape, variant);
      const right = formulaOf(layer, variant, x, dy);
      await expectClose(stepOf(layer, x, dy), right);
    },
  );

  it('steps_of_a_model_take_no_memory', async () => {
    const { dense, batchNormalization } = layers.layers;
    const model = layers.sequential({
      layers: [dense({ units: 5, inputShape: [4] }), batchNormalization(), dense({ units: 1 })],
    });
    model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
    const [x, y] = [random(1, [6, 4]), random(2, [6, 1])];
    const losses: number[] = [];
    const held: unknown[] = [];
    for (let i = 0; i < 6; i += 1) {
      losses.push(Number(await model.trainOnBatch(x, y)));
      held.push([tf.memory().numTensors, devices.get(name).memoryUsage().buffers]);
    }
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
    expect(held[5]).toEqual(held[2]);
  });
});

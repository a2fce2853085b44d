/** The example in a quick form: all 53 batch norms, an eighth of the channels, small images. */

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { patterns } from './batch.ts';
import { compareOneStep } from './one_step.ts';
import { resnet50 } from './resnet50.ts';

beforeAll(async () => {
  await tf.setBackend('wasm');
  registerTrainingKernels();
});

it('has_the_layers_of_torchvision_by_name', () => {
  const model = resnet50({ imageSize: 64, width: 4, classes: 10 });
  const names = model.layers.filter(({ weights }) => weights.length > 0).map(({ name }) => name);
  expect(names.length).toBe(53 + 53 + 1);
  expect(names).toEqual(
    expect.arrayContaining(['conv1', 'bn1', 'layer1.0.downsample.0', 'layer3.5.bn3', 'layer4.2.conv2', 'fc']),
  );
});

it('trains_a_step_on_two_devices_of_uneven_shares_as_on_one', async () => {
  const model = resnet50({ imageSize: 64, width: 8, classes: 10 });
  model.compile({ optimizer: tf.train.sgd(0.01), loss: 'categoricalCrossentropy' });
  const { losses, largestChange, weights, statistics } = await compareOneStep(model, patterns(5, 64, 10), {
    deviceIds: ['cpu:0', 'cpu:1'],
    splitSizes: [3, 2],
  });
  expect(losses[1]).toBe(losses[0]);
  expect(largestChange).toBeGreaterThan(0);
  expect(weights).toBeLessThanOrEqual(3e-5);
  expect(statistics).toBe(0);
});

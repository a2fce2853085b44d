/** The examples of `docs/tfjs_on_one_device.md`. */

import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { tensor } from 'syncbn';
import { saveSafetensors } from 'syncbn/safetensors';
import { fromLayersModel, loadTorchWeights, registerTrainingKernels, useSyncbnLayers } from 'syncbn/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { useBackend } from './backends.ts';
import { random } from './batch_norm_step.ts';

beforeAll(() => useBackend('wasm'));

function network(): layers.LayersModel {
  const { conv2d, batchNormalization, globalAveragePooling2d, dense } = layers.layers;
  const model = layers.sequential({
    layers: [
      conv2d({ name: 'conv1', filters: 4, kernelSize: 3, useBias: false, inputShape: [6, 6, 3] }),
      batchNormalization({ name: 'bn1' }),
      globalAveragePooling2d({}),
      dense({ name: 'head', units: 2 }),
    ],
  });
  model.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' });
  return model;
}

it('a_model_fits_on_wasm_with_kernels_and_layers_that_are_undone', async () => {
  const [model, xs, ys] = [network(), random(1, [8, 6, 6, 3]), random(2, [8, 2])];
  const undoKernels = registerTrainingKernels();
  await model.fit(xs, ys, { epochs: 1 });
  const undoLayers = await useSyncbnLayers(layers);
  const { history } = await model.fit(xs, ys, { epochs: 4 });
  undoLayers();
  undoKernels();
  const losses = history['loss'] as number[];
  expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
  await expect(model.fit(xs, ys)).rejects.toThrow('Conv2DBackpropFilter');
});

it('weights_come_by_the_names_of_PyTorch', async () => {
  const net = fromLayersModel(network());
  const bytes = await saveSafetensors({
    'stem.0.weight': tensor(new Float32Array(108).fill(1), [4, 3, 3, 3]),
    ...Object.fromEntries(
      ['weight', 'bias', 'running_mean', 'running_var'].map((key) => [`stem.1.${key}`, tensor([1, 2, 3, 4])]),
    ),
    'stem.1.num_batches_tracked': 7,
    'fc.weight': tensor(new Float32Array(8).fill(2), [2, 4]),
    'fc.bias': tensor([5, 6]),
  });
  await loadTorchWeights(net, bytes, { names: { conv1: 'stem.0', bn1: 'stem.1', head: 'fc' } });
  const state = net.stateDict();
  expect(await (state['layers.bn1.running_var'] as { data(): Promise<Float32Array> }).data()).toEqual(
    Float32Array.of(1, 2, 3, 4),
  );
});

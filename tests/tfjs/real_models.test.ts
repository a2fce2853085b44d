/**
 * Models of real size, from the package `nsfwjs`: two devices with uneven shares against one. With `SYNCBN_LONG=1` in the environment also InceptionV3,
 * which takes a minute: `SYNCBN_LONG=1 npx vitest run --project unit tests/tfjs/real_models.test.ts`.
 */

import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { type LayersModel, loadLayersModel } from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertModel, DataParallel } from 'syncbn';
import { fromLayersModel, registerTrainingKernels, trainOnBatch } from 'syncbn/tfjs';
import { randomArray } from '../support/random.ts';
import { largestDifference } from '../support/tolerances.ts';
import { useBackend } from './backends.ts';

const require = createRequire(import.meta.url);

/** What is read of a stored model. */
interface StoredModel {
  readonly modelTopology: {
    readonly model_config: {
      readonly config: {
        readonly layers: readonly {
          readonly class_name: string;
          readonly config: { batch_input_shape?: (number | null)[]; pool_size?: number[]; rate?: number };
        }[];
      };
    };
  };
  readonly weightsManifest: readonly { readonly weights: tf.io.WeightsManifestEntry[] }[];
}

/** A model as the package has it: its topology, and its weights in base 64. */
async function realModel(name: string, shards: number, inputSize: number): Promise<LayersModel> {
  const read = (file: string): unknown => {
    const found = require(resolve('node_modules', 'nsfwjs', 'dist', 'models', name, file)) as {
      readonly default?: unknown;
    };
    return found.default ?? found;
  };
  const { modelTopology, weightsManifest } = structuredClone(read('model.min.js')) as StoredModel;
  for (const { class_name: kind, config } of modelTopology.model_config.config.layers) {
    // Smaller images take less time; of these, 3 × 3 values are left where the model expects more.
    if (kind === 'InputLayer') config.batch_input_shape = [null, inputSize, inputSize, 3];
    // What is random would differ.
    if (kind === 'Dropout') config.rate = 0;
    if (kind === 'AveragePooling2D' && (config.pool_size?.[0] ?? 0) > 3) {
      Object.assign(config, { pool_size: [3, 3], strides: [3, 3] });
    }
  }
  const parts = Array.from({ length: shards }, (_, i) => read(`group1-shard${i + 1}of${shards}.min.js`) as string);
  const weightData = Uint8Array.from(Buffer.concat(parts.map((part) => Buffer.from(part, 'base64')))).buffer;
  const weightSpecs = weightsManifest.flatMap(({ weights }) => weights);
  const loaded = await loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
  // The file has its layers frozen.
  for (const layer of loaded.layers) layer.trainable = true;
  return loaded;
}

beforeAll(async () => {
  await useBackend('wasm');
});
let undo: () => void;
beforeAll(() => {
  undo = registerTrainingKernels();
});
afterAll(async () => {
  undo();
  await useBackend('cpu');
});

const models = [
  { name: 'mobilenet_v2', shards: 1, inputSize: 96, norms: 52 },
  { name: 'inception_v3', shards: 6, inputSize: 139, norms: 94 },
];
// What tfjs alone cannot train: its batch norms have no scale.
const longModels = process.env['SYNCBN_LONG'] === '1' ? models : models.slice(0, 1);

describe.each(longModels)('$name', ({ name, shards, inputSize, norms }) => {
  it('takes_the_same_step_on_two_devices_with_uneven_shares_as_on_one', async () => {
    const samples = 3;
    const x = tf.tensor(randomArray(1, samples * inputSize ** 2 * 3, { distribution: 'uniform' }), [
      samples,
      inputSize,
      inputSize,
      3,
    ]);
    const y = tf.tensor2d([1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], [samples, 5]);
    const losses: unknown[] = [];
    const weights: Float32Array[][] = [];
    let before: Float32Array[] = [];
    for (const deviceIds of [['cpu:0'], ['cpu:0', 'cpu:1']]) {
      const model = await realModel(name, shards, inputSize);
      expect(model.layers.filter((layer) => layer.getClassName() === 'BatchNormalization')).toHaveLength(norms);
      model.compile({ optimizer: tf.train.sgd(0.1), loss: 'categoricalCrossentropy' });
      before = model.weights.map((one) => one.read().dataSync() as Float32Array);
      const network = convertModel(new DataParallel(fromLayersModel(model), { deviceIds }));
      losses.push(await trainOnBatch(network, x, y));
      await network.module.writeBack();
      weights.push(model.weights.map((one) => one.read().dataSync() as Float32Array));
      model.dispose();
    }
    expect(losses[1]).toBe(losses[0]);
    const [one = [], two = []] = weights;
    const change = Math.max(...one.map((values, i) => largestDifference(values, before[i] ?? [])));
    const apart = Math.max(...one.map((values, i) => largestDifference(values, two[i] ?? [])));
    console.log(`${name}: apart by ${apart / change} of the largest change`);
    expect(change).toBeGreaterThan(0);
    expect(apart / change).toBeLessThan(3e-5);
  });
});

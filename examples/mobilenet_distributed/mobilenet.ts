/** The network that the examples and benchmarks with TensorFlow.js train. */

import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { type LayersModel, loadLayersModel } from '@tensorflow/tfjs-layers';

/** Height and width of an image, in pixels. */
export const IMAGE_SIZE = 96;
export const CLASSES = 5;

/** MobileNetV2 with the weights of the package `nsfwjs`, for small images: its classes are 5. */
export async function mobileNetV2(): Promise<LayersModel> {
  const require = createRequire(join(process.cwd(), 'package.json'));
  const folder = join(process.cwd(), 'node_modules', 'nsfwjs', 'dist', 'models', 'mobilenet_v2');
  // Both files are scripts that export a value.
  const load = (name: string): unknown => {
    const loaded = require(join(folder, name)) as { readonly default?: unknown };
    return loaded.default ?? loaded;
  };
  const stored = structuredClone(load('model.min.js')) as StoredModel;
  const weights = Buffer.from(load('group1-shard1of1.min.js') as string, 'base64');
  for (const { class_name: kind, config } of stored.modelTopology.model_config.config.layers) {
    if (kind === 'InputLayer') config.batch_input_shape = [null, IMAGE_SIZE, IMAGE_SIZE, 3];
    // Of what is left of 96 × 96 pixels.
    if (kind === 'AveragePooling2D') Object.assign(config, { pool_size: [3, 3], strides: [3, 3] });
  }
  const made = await loadLayersModel(
    tf.io.fromMemory({
      modelTopology: stored.modelTopology,
      weightSpecs: stored.weightsManifest.flatMap((group) => group.weights),
      weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
    }),
  );
  // Some come frozen.
  made.layers.forEach((layer) => (layer.trainable = true));
  return made;
}

interface StoredModel {
  readonly modelTopology: {
    readonly model_config: {
      readonly config: { readonly layers: { readonly class_name: string; readonly config: StoredLayer }[] };
    };
  };
  readonly weightsManifest: { readonly weights: tf.io.WeightsManifestEntry[] }[];
}

interface StoredLayer {
  batch_input_shape?: (number | null)[];
}

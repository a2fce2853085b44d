/** Trained networks of tf.layers from the package `nsfwjs`, for images of other sizes. */

import { Buffer } from 'node:buffer';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {
  initializers,
  layers,
  loadLayersModel,
  type LayersModel,
  model,
  type SymbolicTensor,
} from '@tensorflow/tfjs-layers';

/** What can be fine-tuned, with the number of files that its weights are in, and the smallest images it takes. */
export const NETWORKS = {
  mobilenet_v2: { shards: 1, smallest: 32 },
  inception_v3: { shards: 6, smallest: 75 },
} as const;

export type NetworkName = keyof typeof NETWORKS;

/** The name of a layer, and which of its calls and outputs is meant. */
type Place = readonly [name: string, call: number, output: number, ...unknown[]];

interface StoredLayer {
  readonly name: string;
  readonly class_name: string;
  readonly config: { batch_input_shape?: (number | null)[]; momentum?: number };
  readonly inbound_nodes: readonly (readonly Place[])[];
}

interface StoredModel {
  readonly modelTopology: {
    readonly model_config: { readonly config: { layers: StoredLayer[]; output_layers: Place[] } };
  };
  readonly weightsManifest: readonly { readonly weights: readonly tf.io.WeightsManifestEntry[] }[];
}

/**
 * The network up to its last feature maps, whose means a new layer turns into shares of classes.
 * @param size - of the images, (N, size, size, 3).
 */
export async function withNewClassifier(name: NetworkName, size: number, classes: number): Promise<LayersModel> {
  const stored = structuredClone(read(name, 'model.min.js')) as StoredModel;
  const { config } = stored.modelTopology.model_config;
  // A pooling and the old classifier come last.
  const pooling = config.layers[config.layers.map((layer) => layer.class_name).lastIndexOf('AveragePooling2D')];
  const features = pooling?.inbound_nodes[0]?.[0];
  if (pooling === undefined || features === undefined) {
    throw new RangeError(`expected ${name} to end in a pooling and a classifier`);
  }
  config.layers = config.layers.slice(0, config.layers.indexOf(pooling));
  config.output_layers = [[features[0], 0, 0]];
  for (const { class_name: kind, config: options } of config.layers) {
    if (kind === 'InputLayer') {
      options.batch_input_shape = [null, size, size, 3];
    } else if (kind === 'BatchNormalization') {
      // Running statistics that follow within some dozens of steps; stored is 0.999.
      options.momentum = 0.9;
    }
  }
  const { shards } = NETWORKS[name];
  const weights = Buffer.concat(
    Array.from({ length: shards }, (_, i) =>
      Buffer.from(read(name, `group1-shard${i + 1}of${shards}.min.js`) as string, 'base64'),
    ),
  );
  const trained = await loadLayersModel(
    tf.io.fromMemory({
      modelTopology: stored.modelTopology,
      weightSpecs: stored.weightsManifest.flatMap((group) => group.weights),
      weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
    }),
    // There are weights of the old classifier, too.
    { strict: false },
  );
  // Some layers are stored frozen.
  trained.layers.forEach((layer) => (layer.trainable = true));
  const means = layers.globalAveragePooling2d({ name: 'means' }).apply(trained.outputs);
  const kernelInitializer = initializers.glorotNormal({ seed: 1 });
  const classifier = { units: classes, activation: 'softmax', kernelInitializer, name: 'new_classifier' } as const;
  const shares = layers.dense(classifier).apply(means);
  return model({ inputs: trained.inputs, outputs: shares as SymbolicTensor });
}

/** A file of a model, which is a script that exports a value. */
function read(name: NetworkName, file: string): unknown {
  const require = createRequire(join(process.cwd(), 'package.json'));
  const loaded = require(join(process.cwd(), 'node_modules/nsfwjs/dist/models', name, file)) as {
    readonly default?: unknown;
  };
  return loaded.default ?? loaded;
}

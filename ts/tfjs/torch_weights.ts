/** Weights that PyTorch has trained, in models of tf.layers. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { type Module, tensor } from '../index.ts';
import { moduleAt } from './layer_weights.ts';
import { LayersModule } from './layers_module.ts';
import type { Assignment } from './torch_assignments.ts';

/** Options of {@link loadTorchWeights}. */
export interface LoadTorchWeightsOptions {
  /**
   * PyTorch's name of a layer, for which the file has `NAME.weight`, of each layer that is called otherwise in tfjs; or a function of the layer's
   * name. Layers of a nested model are named with it, `backbone/conv1`. Default: the same name.
   */
  readonly names?: Readonly<Record<string, string>> | ((layer: string) => string);
  /** `eps` of PyTorch's batch norms, which a file does not tell; default 1e-5. */
  readonly eps?: number;
  /** `momentum` of PyTorch's batch norms, the weight of the new value; default 0.1. tfjs' own is then 1 less this. */
  readonly momentum?: number;
  /** Whether the file must have all weights of the model and nothing else; default `true`. With `false` the others stay as they are. */
  readonly strict?: boolean;
}

/**
 * Gives a model of tf.layers the weights in a safetensors file that PyTorch has written: `safetensors.torch.save_file(net.state_dict(), path)`.
 *
 * | layer of tfjs | from PyTorch's |
 * | --- | --- |
 * | `conv1d`, `conv2d`, `conv3d` and transposed ones | `weight` (out, in, …), transposed ones (in, out, …), and `bias` |
 * | `depthwiseConv2d` | `weight` (C · M, 1, H, W) of a convolution with `groups=C` |
 * | `separableConv2d` | `depthwise.weight`, `pointwise.weight` and `pointwise.bias` of two convolutions |
 * | `dense` | `weight` (out, in). Behind a `flatten` layer its inputs are put from PyTorch's order (C, H, W) into tfjs' (H, W, C) |
 * | `batchNormalization` | `weight`, `bias`, `running_mean`, `running_var`; `eps` and `momentum` as the options say |
 * | `layerNormalization`, `embedding`, `prelu` | `weight` and `bias` |
 *
 * PyTorch pads the same number of values on both sides; tfjs' `same` with strides pads more behind than before. Where they differ, put a `zeroPadding2d`
 * layer before a convolution with `padding: 'valid'`.
 *
 * @param net - a module that `fromLayersModel()` has made, whose model then has them after `writeBack()`; or a model.
 * @param file - the bytes of the file.
 * @throws StateDictError naming all tensors that are missing, unexpected or of another shape; TypeError for a layer that PyTorch computes in another
 * way; SafetensorsError for bytes that are no such file. Nothing has changed then.
 *
 * @example
 * ```ts
 * const net = fromLayersModel(model);
 * const bytes = await (await fetch('resnet50.safetensors')).arrayBuffer();
 * await loadTorchWeights(net, bytes, { names: (layer) => layer.replaceAll('_', '.') });
 * ```
 */
export async function loadTorchWeights(
  net: LayersModule | LayersModel,
  file: Uint8Array | ArrayBuffer,
  options: LoadTorchWeightsOptions = {},
): Promise<void> {
  const model = modelOf(net);
  const { eps = 1e-5, momentum = 0.1, strict = true } = options;
  const { assignmentsOf, layersWithWeights } = await import('./torch_assignments.ts');
  const layers = layersWithWeights(model);
  const assignments = await assignmentsOf(model.name, layers, file, options, strict);
  if (net instanceof LayersModule) {
    await assignToModule(net, assignments);
  } else {
    assignments.forEach(({ variable, values }) => write(variable, values));
  }
  for (const { layer } of layers) {
    if (layer.getClassName() === 'BatchNormalization') {
      const settings = { epsilon: eps, momentum: 1 - momentum };
      Object.assign(layer, settings);
      const [place] = net instanceof LayersModule ? net.places.of(layer) : [];
      if (net instanceof LayersModule && place !== undefined) {
        const norm = moduleAt(net.layers, place.path);
        Object.assign(norm, 'momentum' in norm ? { eps, momentum } : { eps });
      }
    }
  }
}

function modelOf(net: LayersModule | LayersModel): LayersModel {
  const model: unknown = net instanceof LayersModule ? net.model : net;
  if (typeof (model as Partial<LayersModel> | null)?.getClassName !== 'function') {
    throw new TypeError(
      `loadTorchWeights(): expected a module of fromLayersModel(), or a model of tf.layers, got ${typeof model}; a DataParallel ` +
        `has it as its property module`,
    );
  }
  return model as LayersModel;
}

/** All at once, or none. */
async function assignToModule(net: LayersModule, assignments: readonly Assignment[]): Promise<void> {
  const keys: Readonly<Record<string, string>> = { runningMean: 'running_mean', runningVar: 'running_var' };
  const entries = assignments.map(({ variable, values }) => {
    const place = net.places.all.find((one) => one.variable === variable);
    if (place === undefined) {
      throw new Error(`loadTorchWeights(): expected ${variable.name} among the weights of the module, found none`);
    }
    const { path, property } = place;
    const key = ['layers', ...path, keys[property] ?? property].join('.');
    return [key, tensor(values, variable.shape as number[])] as const;
  });
  try {
    await (net as Module).loadStateDict(Object.fromEntries(entries), { strict: false });
  } finally {
    entries.forEach(([, made]) => made.dispose());
  }
}

function write(variable: LayerVariable, values: Float32Array): void {
  const value = tf.tensor(values, variable.shape as number[], 'float32');
  variable.write(value);
  value.dispose();
}

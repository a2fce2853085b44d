/** What of a file of PyTorch becomes which weight of tfjs. Loaded with the first file. */

import type { LayerVariable } from '@tensorflow/tfjs-layers';
import { StateDictError, Tensor } from '../index.ts';
import { loadSafetensors } from '../safetensors.ts';
import type { WeightedLayer } from './torch_layers.ts';
import { torchWeight } from './torch_layout.ts';

export { layersWithWeights } from './torch_layers.ts';

/** A weight of the model with its new values. */
export interface Assignment {
  readonly variable: LayerVariable;
  readonly values: Float32Array;
}

/**
 * The new values of all weights.
 * @throws StateDictError, TypeError, SafetensorsError
 */
export async function assignmentsOf(
  modelName: string,
  layers: readonly WeightedLayer[],
  file: Uint8Array | ArrayBuffer,
  { names = {} }: { readonly names?: Readonly<Record<string, string>> | ((layer: string) => string) },
  strict: boolean,
): Promise<Assignment[]> {
  const nameOf = typeof names === 'function' ? names : (layer: string): string => names[layer] ?? layer;
  const stored = loadSafetensors(file);
  try {
    const unused = new Set(Object.keys(stored));
    const missing: string[] = [];
    const mismatches: string[] = [];
    const found: { readonly variable: LayerVariable; readonly values: Promise<Float32Array> }[] = [];
    for (const { layer, path, weights, flattenedFrom } of layers) {
      const prefix = nameOf(path);
      for (const { name, variable } of weights) {
        const shape = variable.shape as number[];
        const weight = torchWeight(layer.getClassName(), name, shape, { flattenedFrom });
        if (weight === null) {
          throw new TypeError(
            `loadTorchWeights(): layer ${path} (${layer.getClassName()}) has a weight ${name} that PyTorch has none for, or computes in ` +
              `another way; set it by layer.setWeights()`,
          );
        }
        const key = `${prefix}.${weight.key}`;
        const value = stored[key];
        unused.delete(key);
        unused.delete(`${prefix}.num_batches_tracked`);
        if (value === undefined) {
          missing.push(key);
        } else if (!(value instanceof Tensor) || value.shape.join() !== weight.shape.join()) {
          const given = value instanceof Tensor ? value.shape : [];
          mismatches.push(
            `size mismatch for ${key}: expected shape [${weight.shape.join(', ')}] for ${path}/${name} of shape ` +
              `[${shape.join(', ')}], got [${given.join(', ')}].`,
          );
        } else {
          found.push({ variable, values: value.data().then((values) => weight.convert(values)) });
        }
      }
    }
    const all = await Promise.all(found.map(async ({ variable, values }) => ({ variable, values: await values })));
    if (mismatches.length > 0 || (strict && missing.length + unused.size > 0)) {
      throw new StateDictError(modelName, strict ? missing : [], strict ? [...unused] : [], mismatches);
    }
    return all;
  } finally {
    Object.values(stored).forEach((value) => value instanceof Tensor && value.dispose());
  }
}

/** A network that PyTorch has trained, in tf.layers. */

import * as tf from '@tensorflow/tfjs-core';
import {
  input,
  layers,
  type LayersModel,
  model as makeModel,
  sequential,
  type SymbolicTensor,
} from '@tensorflow/tfjs-layers';
import { StateDictError, tensor, type Tensor } from 'syncbn';
import { loadSafetensors, saveSafetensors } from 'syncbn/safetensors';
import { fromLayersModel, loadTorchWeights } from 'syncbn/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readJson } from '../golden/golden_data.ts';
import { useBackend } from './backends.ts';
import { randomArray as random } from '../support/random.ts';
import { distance, must } from './batch_norm_step.ts';

beforeAll(() => useBackend('wasm'));

/** What `golden/torch_weights_file.py` has written. */
interface Stored {
  readonly shape: number[];
  readonly file: string;
  readonly x: string;
  readonly evaluated: string;
  readonly trained: string;
  readonly running_mean: string;
}

const stored = readJson('torch_weights') as Stored;
const bytesOf = (text: string): Uint8Array => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const floatsOf = (text: string): Float32Array => new Float32Array(bytesOf(text).buffer);
const file = bytesOf(stored.file);
const options = { eps: 1e-4, momentum: 0.3, names: (layer: string) => layer.replaceAll('_', '.') };

/** PyTorch's (N, C, H, W) as (N, H, W, C). */
const images = (): tf.Tensor => tf.transpose(tf.tensor(floatsOf(stored.x), stored.shape), [0, 2, 3, 1]);

function padded(x: SymbolicTensor, padding: number): SymbolicTensor {
  return layers.zeroPadding2d({ padding }).apply(x) as SymbolicTensor;
}

/** The network of `golden/torch_weights_file.py`, with PyTorch's names, `_` in the place of dots. */
function network(): LayersModel {
  const conv = (name: string, filters: number, kernelSize: number, strides = 1, useBias = false) =>
    layers.conv2d({ name, filters, kernelSize, strides, useBias });
  const bn = (name: string) => layers.batchNormalization({ name });
  const through = (x: SymbolicTensor, ...chain: { apply(x: SymbolicTensor): unknown }[]): SymbolicTensor =>
    chain.reduce((y, layer) => layer.apply(y) as SymbolicTensor, x);
  const block = (x: SymbolicTensor, name: string, width: number, out: number): SymbolicTensor => {
    const first = through(x, conv(`${name}_conv1`, width, 1), bn(`${name}_bn1`), layers.reLU());
    const depthwise = layers.depthwiseConv2d({
      name: `${name}_conv2`,
      kernelSize: 3,
      strides: 2,
      depthMultiplier: 2,
      useBias: false,
    });
    const second = through(padded(first, 1), depthwise, bn(`${name}_bn2`), layers.reLU());
    const third = through(second, conv(`${name}_conv3`, out, 1), bn(`${name}_bn3`));
    const skip = through(x, conv(`${name}_downsample_0`, out, 1, 2), bn(`${name}_downsample_1`));
    return through(layers.add().apply([third, skip]) as SymbolicTensor, layers.reLU());
  };
  const x = input({ shape: [16, 16, 3] });
  const stem = through(
    padded(x, 2),
    conv('conv1', 4, 5, 2, true),
    bn('bn1'),
    layers.prelu({ name: 'relu', sharedAxes: [1, 2] }),
  );
  const middle = block(stem, 'layer1_0', 3, 8);
  const up = through(middle, layers.conv2dTranspose({ name: 'up', filters: 6, kernelSize: 2, strides: 2 }));
  const last = through(
    block(up, 'layer2_0', 2, 5),
    layers.flatten(),
    layers.activation({ activation: 'linear' }),
    layers.dense({ name: 'fc', units: 7 }),
  );
  return makeModel({ inputs: x, outputs: last });
}

/** All indices of a shape, in order. */
function indicesOf(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (all, size) => all.flatMap((index) => Array.from({ length: size }, (_, i) => [...index, i])),
    [[]],
  );
}

async function weightsOf(model: LayersModel): Promise<unknown[]> {
  return Promise.all(model.getWeights().map((weight) => weight.data()));
}

describe('loadTorchWeights()', () => {
  it('gives_a_model_the_outputs_of_PyTorch', async () => {
    const model = network();
    await loadTorchWeights(model, file, options);
    const y = model.predict(images()) as tf.Tensor;
    expect(distance(await y.data(), floatsOf(stored.evaluated))).toBeLessThan(1e-6);
  });

  it('gives_a_module_the_outputs_of_PyTorch_in_evaluation_and_in_training', async () => {
    const model = network();
    const net = fromLayersModel(model);
    await loadTorchWeights(net, file, options);
    const x = tensor((await images().data()) as Float32Array, [3, 16, 16, 3]);
    const evaluated = await net.eval().forward(x);
    expect(distance(await (evaluated as typeof x).data(), floatsOf(stored.evaluated))).toBeLessThan(1e-6);
    const trained = await net.train().forward(x);
    expect(distance(await (trained as typeof x).data(), floatsOf(stored.trained))).toBeLessThan(2e-6);
    await net.writeBack();
    const [, , mean] = model.getLayer('bn1').getWeights();
    expect(distance((await mean?.data()) ?? [], floatsOf(stored.running_mean))).toBeLessThan(1e-6);
    // The settings are PyTorch's in both: what the model saves computes the same.
    expect(model.getLayer('bn1').getConfig()).toMatchObject({ epsilon: 1e-4, momentum: 0.7 });
  });

  it('names_all_that_is_wrong_and_changes_nothing', async () => {
    const dict = loadSafetensors(file);
    const { 'fc.bias': gone, ...rest } = dict;
    expect(gone).toBeDefined();
    const changed = await saveSafetensors({
      ...rest,
      'conv1.weight': tensor(new Float32Array(108), [4, 3, 3, 3]),
      'head.weight': tensor([1], [1]),
    });
    for (const make of [() => network(), () => fromLayersModel(network())]) {
      const target = make();
      const model = 'model' in target ? (target as { readonly model: LayersModel }).model : target;
      const before = await weightsOf(model);
      const error: unknown = await loadTorchWeights(target, changed, options).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(StateDictError);
      expect(error).toMatchObject({ missingKeys: ['fc.bias'], unexpectedKeys: ['head.weight'] });
      expect((error as StateDictError).mismatches).toEqual([
        'size mismatch for conv1.weight: expected shape [4, 3, 5, 5] for conv1/kernel of shape [5, 5, 3, 4], got [4, 3, 3, 3].',
      ]);
      expect(await weightsOf(model)).toEqual(before);
    }
  });

  it('leaves_what_the_file_has_not_where_it_may', async () => {
    const { 'fc.weight': weight, 'fc.bias': bias, ...rest } = loadSafetensors(file);
    expect([weight, bias]).not.toContain(undefined);
    const model = network();
    const head = (): Promise<unknown[]> =>
      Promise.all(
        model
          .getLayer('fc')
          .getWeights()
          .map((one) => one.data()),
      );
    const [before, headBefore] = [await weightsOf(model), await head()];
    const bytes = await saveSafetensors({ ...rest, other: tensor([1], [1]) });
    await loadTorchWeights(model, bytes, { ...options, strict: false });
    expect(await head()).toEqual(headBefore);
    expect((await weightsOf(model))[0]).not.toEqual(before[0]);
  });

  it('names_layers_by_a_record_and_nested_ones_by_their_path', async () => {
    const inner = sequential({
      name: 'backbone',
      layers: [layers.dense({ name: 'first', units: 2, inputShape: [3] })],
    });
    const model = sequential({ layers: [inner, layers.dense({ name: 'head', units: 1, useBias: false })] });
    const bytes = await saveSafetensors({
      'body.0.weight': tensor([1, 2, 3, 4, 5, 6], [2, 3]),
      'body.0.bias': tensor([7, 8]),
      'head.weight': tensor([9, 10], [1, 2]),
    });
    await loadTorchWeights(model, bytes, { names: { 'backbone/first': 'body.0' } });
    expect((await weightsOf(model)).map((values) => [...(values as Float32Array)])).toEqual([
      [1, 4, 2, 5, 3, 6],
      [7, 8],
      [9, 10],
    ]);
  });

  // What stands at an index of tfjs' weight stands at this index of PyTorch's.
  it.each<[string, () => layers.Layer, Record<string, [key: string, at: (...index: number[]) => number[]]>]>([
    [
      'conv1d',
      () => layers.conv1d({ name: 'it', filters: 4, kernelSize: 3, inputShape: [5, 2] }),
      { kernel: ['weight', (k, i, o) => [o, i, k]], bias: ['bias', (o) => [o]] },
    ],
    [
      'conv3d',
      () => layers.conv3d({ name: 'it', filters: 4, kernelSize: [2, 1, 3], inputShape: [5, 5, 5, 2] }),
      { kernel: ['weight', (a, j, k, i, o) => [o, i, a, j, k]], bias: ['bias', (o) => [o]] },
    ],
    [
      'separableConv2d',
      () =>
        layers.separableConv2d({
          name: 'it',
          filters: 4,
          kernelSize: [2, 3],
          depthMultiplier: 2,
          inputShape: [5, 5, 3],
        }),
      {
        depthwise_kernel: ['depthwise.weight', (j, k, c, m) => [2 * c + m, 0, j, k]],
        pointwise_kernel: ['pointwise.weight', (j, k, i, o) => [o, i, j, k]],
        bias: ['pointwise.bias', (o) => [o]],
      },
    ],
    [
      'embedding',
      () => layers.embedding({ name: 'it', inputDim: 3, outputDim: 2, inputShape: [4] }),
      { embeddings: ['weight', (v, d) => [v, d]] },
    ],
    [
      'layerNormalization',
      () => layers.layerNormalization({ name: 'it', inputShape: [4] }),
      { gamma: ['weight', (c) => [c]], beta: ['bias', (c) => [c]] },
    ],
  ])('puts the weights of %s where tfjs has them', async (_, make, weights) => {
    const layer = make();
    const model = sequential({ layers: [layer] });
    const torch: Record<string, Tensor> = {};
    const places = layer.weights.map(({ originalName, shape }) => {
      const [key, at] = must(weights[originalName.slice(originalName.lastIndexOf('/') + 1)]);
      const indices = indicesOf(shape as number[]);
      const largest = indices
        .map((index) => at(...index))
        .reduce((a, b) => a.map((size, i) => Math.max(size, b[i] ?? 0)));
      const sizes = largest.map((last) => last + 1);
      torch[`it.${key}`] = tensor(random(key.length, indices.length), sizes);
      return { key, at, indices, sizes };
    });
    await loadTorchWeights(model, await saveSafetensors(torch));
    for (const [i, { key, at, indices, sizes }] of places.entries()) {
      const values = await must(torch[`it.${key}`]).data();
      const offset = (index: number[]): number => index.reduce((sum, place, d) => sum * (sizes[d] ?? 0) + place, 0);
      const found = await must(layer.getWeights()[i]).data();
      expect([...found]).toEqual(indices.map((index) => values[offset(at(...index))]));
    }
  });

  it('refuses_a_layer_that_PyTorch_computes_in_another_way', async () => {
    const x = input({ shape: [3, 2] });
    const model = makeModel({
      inputs: x,
      outputs: layers.gru({ units: 2, recurrentInitializer: 'zeros' }).apply(x) as SymbolicTensor,
    });
    await expect(loadTorchWeights(model, file)).rejects.toThrow(
      /layer gru\S* \(GRU\) has a weight kernel .* set it by layer.setWeights\(\)/,
    );
  });

  it('refuses_what_is_no_model', async () => {
    const nothing: unknown = {};
    await expect(loadTorchWeights(nothing as LayersModel, file)).rejects.toThrow(
      'expected a module of fromLayersModel()',
    );
  });
});

/** Models of tf.layers as modules: outputs, gradients and moving averages are those of tfjs. */

import * as tf from '@tensorflow/tfjs-core';
import {
  input,
  layers,
  type LayersModel,
  loadLayersModel,
  model,
  sequential,
  type SymbolicTensor,
} from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BatchNorm1d, FrozenBatchNorm1d, type Module, tensor, type Tensor } from 'syncbn';
import { fromLayersModel, registerTrainingKernels } from 'syncbn/tfjs';
import { expectSameBits } from '../support/bits.ts';
import { trainingBackends, useBackend } from './backends.ts';
import { convolutional, inputsFor, models, twins } from './models.ts';
import { difference, exactPartsOf, passOfModule, passOfTfjs, weightsOf } from './passes.ts';
import { plainBatchNorm, referenceBatchNorm } from './reference_batch_norm.ts';

beforeAll(() => useBackend('cpu'));

const samples = 5;

describe.each(models)('$name', ({ make }) => {
  const most = make === convolutional ? 1e-6 : 5e-6;

  it.each([true, false])('is_computed_as_by_tfjs_training_%s', async (training) => {
    const [plain, own] = twins(make, referenceBatchNorm, plainBatchNorm);
    const expected = passOfTfjs(plain, { training });
    const actual = await passOfModule(own, ['cpu:0'], { training });
    expect(difference(actual.outputs, expected.outputs)).toBeLessThan(most);
    expect(difference(actual.dx, expected.dx)).toBeLessThan(most);
    expect(difference([...actual.gradients.values()], [...expected.gradients.values()])).toBeLessThan(most);
    expect(difference(actual.weights, expected.weights)).toBeLessThan(most);
  });

  it.each([
    { devices: 2, deviceIds: ['cpu:0', 'cpu:1'] },
    { devices: 3, deviceIds: ['cpu:0', 'cpu:1', 'cpu:2'] },
  ])('has_the_bits_of_one_device_on_$devices_in_all_but_the_gradients_of_other_layers', async ({ deviceIds }) => {
    const [one, several] = twins(make, plainBatchNorm, plainBatchNorm);
    const expected = await passOfModule(one, ['cpu:0'], { training: true });
    const actual = await passOfModule(several, deviceIds, { training: true });
    const [parts, wanted] = [exactPartsOf(actual), exactPartsOf(expected)];
    // Names of weights are counted over the models of a page.
    expect(parts.size).toBe(wanted.size);
    [...wanted.values()].forEach((values, i) => {
      const [name, own] = [...parts][i] ?? ['', []];
      expectSameBits(own, values, name);
    });
    expect(difference([...actual.gradients.values()], [...expected.gradients.values()])).toBeLessThan(most);
  });
});

describe.each(trainingBackends)('the convolutional network on the backend %s', (backend) => {
  let undo = (): void => undefined;
  beforeAll(async () => {
    await useBackend(backend);
    if (backend === 'wasm') undo = registerTrainingKernels();
  });
  afterAll(async () => {
    undo();
    await useBackend('cpu');
  });

  it('has_the_gradients_of_plain_tfjs', async () => {
    const [plain, own] = twins(convolutional, plainBatchNorm, plainBatchNorm);
    const expected = passOfTfjs(plain, { training: true });
    const actual = await passOfModule(own, ['cpu:0'], { training: true });
    const apart = difference([...actual.gradients.values()], [...expected.gradients.values()]);
    console.log(`gradients on ${backend}: apart by ${apart} of the largest`);
    expect(apart).toBeLessThan(1e-6);
    expect(difference(actual.outputs, expected.outputs)).toBeLessThan(1e-6);
  });
});

describe('the modules', () => {
  it('bear_the_names_of_the_layers_and_their_weights', () => {
    const net = fromLayersModel(convolutional(plainBatchNorm));
    const names = [...net.namedParameters()].map(([name]) => name);
    expect(names).toEqual(expect.arrayContaining(['layers.conv1.kernel', 'layers.bn1.weight', 'layers.bn1.bias']));
    expect(names).toEqual(expect.arrayContaining(['layers.separable.depthwise_kernel', 'layers.block.conv2.bias']));
    expect([...net.namedBuffers()].map(([name]) => name)).toContain('layers.block.bn2.running_mean');
  });

  it('of_a_bidirectional_layer_have_names_that_tell_the_directions_apart', () => {
    const layer = layers.bidirectional({
      layer: layers.simpleRNN({ units: 2, recurrentInitializer: 'zeros' }),
      mergeMode: 'concat',
    });
    const net = fromLayersModel(sequential({ layers: [layers.inputLayer({ inputShape: [3, 2] }), layer] }));
    const names = [...net.namedParameters()].map(([name]) => name.split('.').at(-1));
    expect(new Set(names).size).toBe(6);
    expect(names.filter((name) => name?.startsWith('forward'))).toHaveLength(3);
  });

  it('are_frozen_where_a_layer_or_a_model_around_it_is', () => {
    const frozen = sequential({ name: 'backbone', layers: [plainBatchNorm({ name: 'inner', inputShape: [3] })] });
    frozen.trainable = false;
    const head = layers.dense({ name: 'head', units: 2 });
    const net = fromLayersModel(sequential({ layers: [frozen, plainBatchNorm({ name: 'outer' }), head] }));
    const found = Object.fromEntries(net.namedModules());
    expect(found['layers.backbone.inner']).toBeInstanceOf(FrozenBatchNorm1d);
    expect(found['layers.outer']).toBeInstanceOf(BatchNorm1d);
  });

  it('are_refused_a_forward_of_their_own', () => {
    const net = fromLayersModel(sequential({ layers: [layers.dense({ name: 'head', units: 2, inputShape: [3] })] }));
    const head = Object.fromEntries(net.namedModules())['layers.head'];
    expect(() => (head as Module & { forward(): unknown }).forward()).toThrow('call its model');
  });
});

it('a_saved_model_predicts_as_the_module', async () => {
  const [own] = twins(convolutional, plainBatchNorm, plainBatchNorm);
  const pass = await passOfModule(own, ['cpu:0', 'cpu:1'], { training: true });
  let saved: tf.io.ModelArtifacts = {};
  await own.save(
    tf.io.withSaveHandler((artifacts) => {
      saved = artifacts;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' as const } });
    }),
  );
  const loaded = await loadLayersModel(tf.io.fromMemory(saved));
  expect(weightsOf(loaded)).toEqual(pass.weights);
  const net = fromLayersModel(loaded).eval();
  const [x] = inputsFor(own, samples);
  const y = (await net.forward(tensor(x?.values ?? [], x?.shape))) as Tensor;
  const predicted = (loaded.predict(tf.tensor(x?.values ?? [], x?.shape)) as tf.Tensor).dataSync();
  expect(difference([await y.data()], [predicted])).toBeLessThan(1e-6);
});

it('a_module_gives_an_output_that_the_model_has_twice_and_an_input_that_is_an_output', async () => {
  const x = input({ shape: [3] });
  const y = layers.dense({ units: 2 }).apply(x) as SymbolicTensor;
  const net = fromLayersModel(model({ inputs: x, outputs: [y, x, y] }));
  const given = tensor([1, 2, 3], [1, 3], { requiresGrad: true });
  const outputs = (await net.forward(given)) as readonly Tensor[];
  expect(outputs.map(({ shape }) => shape)).toEqual([
    [1, 2],
    [1, 3],
    [1, 2],
  ]);
  outputs[1]?.dispose();
  expect(Array.from(await given.data())).toEqual([1, 2, 3]);
});

describe('refuses_by_name_before_anything_runs', () => {
  const norm = (): layers.Layer => plainBatchNorm({ name: 'hidden', inputShape: [3] });
  const wrapped = (): LayersModel =>
    sequential({ layers: [layers.timeDistributed({ name: 'around', layer: norm(), inputShape: [4, 3] })] });
  const inModel = (): LayersModel =>
    sequential({
      layers: [layers.timeDistributed({ name: 'around', layer: sequential({ layers: [norm()] }), inputShape: [4, 3] })],
    });
  const stateful = (): LayersModel =>
    sequential({
      layers: [
        layers.simpleRNN({
          name: 'states',
          units: 2,
          stateful: true,
          batchInputShape: [2, 4, 3],
          recurrentInitializer: 'zeros',
        }),
      ],
    });
  const overBatch = (): LayersModel =>
    sequential({
      layers: [layers.inputLayer({ batchInputShape: [2, 3] }), plainBatchNorm({ name: 'batch', axis: 0 })],
    });

  it.each<[what: string, () => unknown, new (...args: never[]) => Error, RegExp]>([
    ['a_batch_norm_inside_a_wrapper', wrapped, TypeError, /around .*TimeDistributed.* batch norm hidden inside/],
    ['a_batch_norm_in_a_model_inside_a_wrapper', inModel, TypeError, /around .*batch norm hidden inside/],
    ['a_stateful_layer', stateful, TypeError, /states .*SimpleRNN.* is stateful/],
    ['statistics_over_the_batch', overBatch, RangeError, /batch .*axis 0 is the batch/],
    ['a_model_without_shapes', () => sequential(), TypeError, /has not been built/],
    ['what_is_no_model', () => ({}), TypeError, /expected a model of tf.layers/],
  ])('%s', (_, make, type, message) => {
    const call = (): unknown => fromLayersModel(make() as LayersModel);
    expect(call).toThrow(type);
    expect(call).toThrow(message);
  });

  it('another_number_of_inputs', async () => {
    const net = fromLayersModel(sequential({ layers: [layers.dense({ units: 1, inputShape: [2] })] }));
    const x = tensor([1, 2], [1, 2]);
    await expect(net.forward(x, x)).rejects.toThrow(/expected 1 tensors? of syncbn, .*got 2/);
    await expect(net.forward(tf.ones([1, 2]) as never)).rejects.toThrow(TypeError);
  });
});

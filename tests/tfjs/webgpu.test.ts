/** Training on GPUs: tfjs and the library on one `GPUDevice`, without copies of activations. */

import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertModel, DataParallel, devices, init, tensor, type Tensor } from 'syncbn';
import { evaluate, fit, fromLayersModel, predict, tfFunction, trainOnBatch } from 'syncbn/tfjs';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';
import { largestDifference } from '../support/tolerances.ts';
import { useBackend } from './backends.ts';
import { convolutional, inputsFor, type ModelMaker, twins } from './models.ts';
import { difference, passOfModule, passOfTfjs } from './passes.ts';
import { plainBatchNorm } from './reference_batch_norm.ts';

const device = 'webgpu:0';

beforeAll(async () => {
  // In Node `navigator.gpu` comes with the first device, and tfjs looks for it when it is imported.
  await init([device]);
  await import('@tensorflow/tfjs-backend-webgpu');
  await useBackend('cpu');
});
afterAll(() => devices.close());

const ofLargest = (actual: ArrayLike<number>, expected: ArrayLike<number>): number =>
  largestDifference(actual, expected) / Math.max(...Array.from(expected, Math.abs));

describe('tfFunction', () => {
  const segment = (x: tf.Tensor, kernel: tf.Tensor): tf.Tensor =>
    tf.maxPool(tf.relu(tf.conv2d(x as tf.Tensor4D, kernel as tf.Tensor4D, 1, 'same')), 2, 2, 'valid');

  it('computes_there_what_tfjs_computes_on_the_cpu_and_copies_no_buffer', async () => {
    const shapes = [
      [2, 6, 6, 3],
      [3, 3, 3, 4],
    ];
    const values = shapes.map((shape, i) =>
      randomArray(
        i + 1,
        shape.reduce((a, b) => a * b),
      ),
    );
    const dy = randomArray(3, 72);
    const theirs = values.map((one, i) => tf.tensor(one, shapes[i]));
    const expected = tf.grads(segment)(theirs, tf.tensor(dy, [2, 3, 3, 4]));
    const value = segment(...(theirs as [tf.Tensor, tf.Tensor]));
    const [x, kernel] = values.map((one, i) => tensor(one, shapes[i], { device, requiresGrad: true })) as [
      Tensor,
      Tensor,
    ];
    const { numTensors } = tf.memory();
    const copied = await copiesOf(async () => {
      const y = await tfFunction(segment)(x, kernel);
      expect(ofLargest(await y.data(), value.dataSync())).toBeLessThan(1e-6);
      await y.backward(tensor(dy, [2, 3, 3, 4], { device }));
    });
    // Reading y, and nothing of the kind between the engines.
    expect(copied.length).toBeLessThanOrEqual(1);
    expect(ofLargest((await x.grad?.data()) ?? [], expected[0]?.dataSync() ?? [])).toBeLessThan(1e-6);
    expect(ofLargest((await kernel.grad?.data()) ?? [], expected[1]?.dataSync() ?? [])).toBeLessThan(1e-6);
    expect(tf.memory().numTensors - numTensors).toBeLessThanOrEqual(1 + 2);
  });

  it('gives_a_tensor_that_is_nothing_but_another_shape_of_an_input_which_may_be_disposed', async () => {
    const x = tensor([1, 2, 3, 4], [4], { device });
    const y = await tfFunction((x: tf.Tensor) => tf.reshape(x, [2, 2]))(x);
    x.dispose();
    expect(y.shape).toEqual([2, 2]);
    expect(Array.from(await y.data())).toEqual([1, 2, 3, 4]);
  });

  it('gives_what_tfjs_has_computed_on_the_host', async () => {
    const y = await tfFunction((x: tf.Tensor) => tf.add(tf.sum(x), tf.scalar(1)))(tensor([1, 2], [2], { device }));
    expect(await y.item()).toBe(4);
  });
});

/** The bytes of each copy from buffer to buffer that the GPU is given. */
async function copiesOf(work: () => Promise<unknown>): Promise<number[]> {
  const { prototype } = (globalThis as unknown as { GPUCommandEncoder: { prototype: Record<string, unknown> } })
    .GPUCommandEncoder;
  const original = prototype['copyBufferToBuffer'] as (...args: unknown[]) => unknown;
  const bytes: number[] = [];
  prototype['copyBufferToBuffer'] = function copyBufferToBuffer(...args: unknown[]) {
    bytes.push(Number(args.at(-1)));
    return original.apply(this, args);
  };
  try {
    await work();
    return bytes;
  } finally {
    prototype['copyBufferToBuffer'] = original;
  }
}

/** Of few operations: an emulated GPU compiles each for seconds. */
const dense: ModelMaker = (norm) =>
  sequential({
    layers: [layers.dense({ units: 4, inputShape: [5] }), norm(), layers.dense({ units: 3, activation: 'softmax' })],
  });

describe.each([
  { name: 'a convolutional network', make: convolutional, deviceIds: ['cpu:0', 'webgpu:0'] },
  { name: 'a dense network', make: dense, deviceIds: ['webgpu:0', 'webgpu:1'] },
])('$name on $deviceIds', ({ make, deviceIds }) => {
  it('trains_as_on_the_cpu', async () => {
    const [onCpu, onGpu] = twins(make, plainBatchNorm, plainBatchNorm);
    for (const model of [onCpu, onGpu])
      model.compile({ optimizer: tf.train.sgd(0.1), loss: 'categoricalCrossentropy' });
    const xs = inputsFor(onCpu, 5).map(({ values, shape }) => tf.tensor(values, shape));
    const ys = tf.tensor2d([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0], [5, 3]);
    const one = fromLayersModel(onCpu);
    const network = convertModel(new DataParallel(fromLayersModel(onGpu), { deviceIds }));
    for (let step = 0; step < 2; step += 1) {
      const [expected, actual] = [await trainOnBatch(one, xs, ys), await trainOnBatch(network, xs, ys)];
      expect(actual).toBeCloseTo(expected as number, 5);
    }
    await one.writeBack();
    await network.module.writeBack();
    for (const [i, weight] of onGpu.weights.entries()) {
      const expected = onCpu.weights[i]?.read().dataSync() ?? [];
      expect(largestDifference(weight.read().dataSync(), expected), weight.name).toBeLessThan(1e-5);
    }
  });
});

describe('the convolutional network', () => {
  it('has_the_gradients_of_plain_tfjs', async () => {
    const [plain, own] = twins(convolutional, plainBatchNorm, plainBatchNorm);
    const expected = passOfTfjs(plain, { training: true });
    const actual = await passOfModule(own, [device], { training: true });
    const [gradients, right] = [actual, expected].map((pass) => [...pass.gradients.values(), ...pass.dx]);
    const apart = difference(gradients ?? [], right ?? []);
    console.log(`gradients on webgpu: apart by ${apart} of the largest`);
    expect(apart).toBeLessThan(1e-6);
    expect(difference(actual.outputs, expected.outputs)).toBeLessThan(1e-6);
  });

  it('copies_no_activation_and_no_gradient_in_forward_and_backward', async () => {
    const net = fromLayersModel(convolutional(plainBatchNorm));
    await net.to(device);
    const [{ values, shape } = { values: [], shape: [] }] = inputsFor(net.model, 3);
    const x = tensor(values, shape, { device, requiresGrad: true });
    const dy = tensor(randomArray(4, 9), [3, 3], { device });
    const copied = await copiesOf(async () => {
      const y = (await net.forward(x)) as Tensor;
      await y.backward(dy);
    });
    // Numbers that tfjs' own gradients multiply with come from the host, one value each.
    expect(copied.filter((bytes) => bytes > 4)).toEqual([]);
    const [gradient] = [...net.parameters()].map(({ grad }) => grad);
    expect(gradient?.device).toBe(device);
    expect(Math.max(...((await x.grad?.data()) ?? []).map(Math.abs))).toBeGreaterThan(0);
  });
});

it('adam_fit_evaluate_and_predict_work_there_and_no_tensor_of_tfjs_stays', async () => {
  const model = sequential({
    layers: [layers.dense({ units: 4, inputShape: [5] }), layers.batchNormalization(), layers.dense({ units: 2 })],
  });
  model.compile({ optimizer: 'adam', loss: 'meanSquaredError', metrics: ['mse'] });
  const network = convertModel(new DataParallel(fromLayersModel(model), { deviceIds: ['webgpu:0'] }));
  const [xs, ys] = [tf.tensor(randomArray(1, 40), [8, 5]), tf.tensor(randomArray(2, 16), [8, 2])];
  await fit(network, xs, ys, { epochs: 2, batchSize: 4 });
  await collectGarbage();
  const { numTensors } = tf.memory();
  const { history } = await fit(network, xs, ys, { epochs: 2, batchSize: 4 });
  tf.dispose([await evaluate(network, xs, ys), await predict(network, xs)].flat());
  expect(history['loss']).toHaveLength(2);
  // Garbage of earlier tests may go meanwhile.
  expect(tf.memory().numTensors).toBeLessThanOrEqual(numTensors);
});

it('a_device_that_was_closed_and_made_anew_gets_a_backend_of_its_own', async () => {
  const square = tfFunction((x: tf.Tensor) => tf.square(x));
  const old = await square(tensor([2], [1], { device }));
  await devices.close(device);
  expect(await (await square(tensor([3], [1], { device }))).item()).toBe(9);
  await expect(old.data()).rejects.toThrow(device);
});

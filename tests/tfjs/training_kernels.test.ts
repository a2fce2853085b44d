/** Gradients on tfjs' wasm backend, against those of its cpu backend. */

import * as tf from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { randomArray } from '../support/random.ts';
import { hostBackends, useBackend } from './backends.ts';
import { searchOnce } from './kernel_search.ts';

let undo: () => void;
beforeAll(() => useBackend('wasm'));
beforeEach(() => {
  undo = registerTrainingKernels();
});
afterEach(() => undo());

/** Largest difference, of the largest expected value. */
function distance(found: ArrayLike<number>, right: ArrayLike<number>): number {
  const scale = Array.from(right).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  return Array.from(right).reduce((most, value, i) => Math.max(most, Math.abs((found[i] ?? NaN) - value)), 0) / scale;
}

function random(seed: number, shape: number[]): tf.Tensor {
  return tf.tensor(
    randomArray(
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );
}

describe('training kernels', () => {
  it.each([0, 10, 20, 30])('are_right_whatever_the_shapes: ten cases from seed %i on', async (first) => {
    for (let seed = first; seed < first + 10; seed += 1) {
      for (const { kernel, text, difference } of await searchOnce(seed, { reference: 'cpu', tested: 'wasm' })) {
        expect(difference, `${kernel} ${text}`).toBeLessThan(2e-6);
      }
    }
  });

  it('take_the_place_of_kernels_that_are_wrong', async () => {
    undo();
    await useBackend('wasm');
    const below = tf.fill([1, 2, 2, 1], -1);
    const gradient = tf.grad((x) => tf.maxPool(x as tf.Tensor4D, 2, 2, 'valid'));
    const [ones, filter] = [tf.ones<tf.Rank.R4>([1, 8, 8, 1]), tf.ones<tf.Rank.R4>([2, 2, 1, 1])];
    const results = (): number[][] => [
      [...gradient(below).dataSync()],
      [...tf.conv2d(ones, filter, 3, 'same').dataSync()],
      [...tf.maxPool3d(tf.fill<tf.Rank.R5>([1, 1, 1, 1, 1], -1), 1, 2, 'valid').dataSync()],
    ];
    const wrong = results();
    registerTrainingKernels();
    const right = [[1, 0, 0, 0], [4, 4, 4, 4, 4, 4, 4, 4, 4], [-1]]; // prettier-ignore
    expect(results()).toEqual(right);
    // Once tfjs is right, this says that ours are no longer needed.
    expect(wrong).not.toEqual(right);
  });

  it.each([
    { shape: [7], begin: [2], size: [3] },
    { shape: [3, 4], begin: [1, 0], size: [2, 4] },
    { shape: [4, 3, 5], begin: [1, 1, 2], size: [2, 2, 3] },
    { shape: [2, 5, 4, 3], begin: [0, 1, 1, 0], size: [-1, 3, 2, 3] },
    { shape: [2, 3, 2, 3, 2], begin: [1, 0, 1, 1, 0], size: [1, 3, 1, 2, 1] },
    { shape: [3, 4], begin: [1, 2], size: [2, 0] },
  ])('slice_without_copying_the_input: $size from $begin of $shape', async ({ shape, begin, size }) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i);
    const sliced = (): { readonly shape: number[]; readonly values: ArrayLike<number> } => {
      const result = tf.slice(tf.tensor(values, shape), begin, size);
      return { shape: result.shape, values: result.dataSync() };
    };
    await useBackend('cpu');
    const wanted = sliced();
    await useBackend('wasm');
    const read = vi.spyOn(tf.backend(), 'readSync');
    try {
      const result = tf.slice(tf.tensor(values, shape), begin, size);
      expect(read).not.toHaveBeenCalled();
      expect({ shape: result.shape, values: result.dataSync() }).toEqual(wanted);
      // Other types as before.
      const whole = tf.slice(tf.tensor(values, shape, 'int32'), begin, size);
      expect(Array.from(whole.dataSync())).toEqual(Array.from(wanted.values));
    } finally {
      read.mockRestore();
    }
  });

  it('leave_no_tensor_behind', async () => {
    await searchOnce(1, { reference: 'cpu', tested: 'wasm' });
    const { numTensors } = tf.memory();
    await searchOnce(2, { reference: 'cpu', tested: 'wasm' });
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('are_taken_back_as_if_they_had_not_been_there', async () => {
    const { prototype } = layers.layers.conv2d({ filters: 1, kernelSize: 1 }).constructor as { prototype: object };
    const call = Object.getOwnPropertyDescriptor(prototype, 'call');
    expect(registerTrainingKernels()).toBe(undo);
    const kernels = [tf.getKernel('Conv2D', 'wasm'), tf.getGradient('Conv2D')];
    undo();
    expect(Object.getOwnPropertyDescriptor(prototype, 'call')).not.toEqual(call);
    expect(tf.getKernel('Conv2DBackpropFilter', 'wasm')).toBeUndefined();
    expect([tf.getKernel('Conv2D', 'wasm'), tf.getGradient('Conv2D')]).not.toEqual(kernels);
    await useBackend('wasm');
    const gradient = tf.grad((f) => tf.conv2d(tf.ones<tf.Rank.R4>([1, 4, 4, 1]), f as tf.Tensor4D, 1, 'valid'));
    expect(() => gradient(tf.ones([2, 2, 1, 1]))).toThrow("Kernel 'Conv2DBackpropFilter' not registered");
    // A second time there is nothing to take back.
    const again = registerTrainingKernels();
    undo();
    expect(gradient(tf.ones([2, 2, 1, 1])).dataSync()).toEqual(Float32Array.of(9, 9, 9, 9));
    again();
  });

  it('say_what_is_missing', () => {
    undo();
    const own = tf.getKernel('Conv2D', 'wasm');
    tf.unregisterKernel('Conv2D', 'wasm');
    try {
      expect(() => registerTrainingKernels()).toThrow("import '@tensorflow/tfjs-backend-wasm' before");
    } finally {
      tf.registerKernel(own);
    }
    expect(tf.getKernel('Conv2DBackpropFilter', 'wasm')).toBeUndefined();
  });
});

describe('layers of tfjs on the wasm backend', () => {
  const { conv1d, conv2d, conv3d, conv2dTranspose, depthwiseConv2d, separableConv2d } = layers.layers;
  const { maxPooling2d, averagePooling2d } = layers.layers;
  const image = [9, 9, 2];
  const glorot = (): ReturnType<typeof layers.initializers.glorotUniform> =>
    layers.initializers.glorotUniform({ seed: 1 });
  const kernel = { kernelInitializer: glorot() };
  const deep = { depthwiseInitializer: glorot() };

  it.each([
    ['conv1d', [9, 2], () => conv1d({ filters: 3, kernelSize: 3, strides: 2, ...kernel })],
    ['conv2d', image, () => conv2d({ filters: 3, kernelSize: 3, strides: 2, padding: 'same', ...kernel })],
    ['conv2d, activated', image, () => conv2d({ filters: 3, kernelSize: 3, activation: 'relu', ...kernel })],
    ['conv3d', [5, 5, 5, 2], () => conv3d({ filters: 3, kernelSize: 3, padding: 'same', ...kernel })],
    ['conv2dTranspose', image, () => conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, ...kernel })],
    ['depthwiseConv2d', image, () => depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, ...deep })],
    [
      'separableConv2d',
      image,
      () => separableConv2d({ filters: 3, kernelSize: 3, ...deep, pointwiseInitializer: glorot() }),
    ],
    ['maxPooling2d', image, () => maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' })],
    ['averagePooling2d', image, () => averagePooling2d({ poolSize: 2 })],
  ] as [string, number[], () => layers.layers.Layer][])('%s trains as on the cpu backend', async (_, shape, layer) => {
    const trained: Float32Array[][] = [];
    for (const backend of hostBackends) {
      await useBackend(backend);
      const model = layers.sequential({
        layers: [
          layers.layers.activation({ activation: 'linear', inputShape: shape }),
          layer(),
          layers.layers.flatten(),
          layers.layers.dense({ units: 2, ...kernel }),
        ],
      });
      model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
      const [xs, ys] = [random(1, [4, ...shape]), random(2, [4, 2])];
      for (let step = 0; step < 2; step += 1) await model.trainOnBatch(xs, ys);
      trained.push(model.getWeights().map((weight) => weight.dataSync() as Float32Array));
      model.dispose();
    }
    const [onCpu = [], onWasm = []] = trained.map((weights) => weights.flatMap((weight) => [...weight]));
    expect(distance(onWasm, onCpu)).toBeLessThan(2e-6);
  });

  it.each([
    { activation: 'linear', dataFormat: 'channelsLast', padding: 'valid', useBias: false },
    { activation: 'tanh', dataFormat: 'channelsLast', padding: 'same', useBias: true },
    { activation: 'relu', dataFormat: 'channelsFirst', padding: 'same', useBias: true },
  ] as const)('a dilated conv2d has its values and gradients: $activation, $dataFormat', async (options) => {
    await useBackend('wasm');
    const biasInitializer = layers.initializers.constant({ value: 0.1 });
    const layer = conv2d({ filters: 3, kernelSize: 3, dilationRate: 2, biasInitializer, ...kernel, ...options });
    const x = random(3, [2, 9, 9, 9]);
    layer.build(x.shape);
    const [filter] = layer.getWeights() as [tf.Tensor4D];
    const isFirst = options.dataFormat === 'channelsFirst';
    const formula = (x: tf.Tensor): tf.Tensor => {
      const images = (isFirst ? tf.transpose(x, [0, 2, 3, 1]) : x) as tf.Tensor4D;
      const y = tf.add(tf.conv2d(images, filter, 1, options.padding, 'NHWC', 2), options.useBias ? 0.1 : 0);
      const output = isFirst ? tf.transpose(y, [0, 3, 1, 2]) : y;
      return options.activation === 'linear' ? output : tf[options.activation](output);
    };
    const found = tf.grad((x) => layer.apply(x) as tf.Tensor)(x);
    const right = tf.grad(formula)(x);
    expect(distance(found.dataSync(), right.dataSync())).toBeLessThan(2e-6);
    const y = layer.apply(x) as tf.Tensor;
    undo();
    expect(distance(y.dataSync(), (layer.apply(x) as tf.Tensor).dataSync())).toBeLessThan(2e-6);
  });

  it('refuses_dilated_gradients_elsewhere_as_before', async () => {
    await useBackend('cpu');
    const gradient = tf.grad((x) =>
      tf.conv2d(x as tf.Tensor4D, tf.ones<tf.Rank.R4>([2, 2, 2, 1]), 1, 'valid', 'NHWC', 2),
    );
    expect(() => gradient(random(3, [1, ...image]))).toThrow('dilation rates greater than 1');
  });
});

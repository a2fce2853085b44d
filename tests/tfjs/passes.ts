/** What a forward and a backward pass of a model give, by tfjs alone and by modules of the library. No Vitest: scripts use it, too. */

import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { convertModel, DataParallel, tensor } from 'syncbn';
import { fromLayersModel, tfFunction } from 'syncbn/tfjs';
import { tensorAt } from '../../ts/tfjs/layer_weights.ts';
import { randomArray } from '../support/random.ts';
import { inputsFor, isOfIntegers } from './models.ts';

/** What one forward and backward pass of Σ (random · outputs) gives. */
export interface Pass {
  readonly outputs: readonly Float32Array[];
  /** Of the inputs; none for a model of integers. */
  readonly dx: readonly Float32Array[];
  /** By name of the weight. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** After the pass, moving averages among them. */
  readonly weights: readonly Float32Array[];
}

/** Which inputs a pass sees. */
export interface PassOptions {
  readonly training: boolean;
  /** Default 5. */
  readonly samples?: number;
  /** Of the inputs; default 1. */
  readonly seed?: number;
}

/** A copy of all weights of a model. */
export function weightsOf(of: LayersModel): Float32Array[] {
  return of.weights.map((one) => one.read().dataSync().slice() as Float32Array);
}

/** Σ (random · outputs), a loss of which every output is a part. */
function weightedSum(...outputs: tf.Tensor[]): tf.Tensor {
  const weighted = (y: tf.Tensor, i: number): tf.Tensor =>
    tf.sum(tf.mul(y, tf.tensor(randomArray(50 + i, y.size), y.shape)));
  return tf.addN(outputs.map(weighted));
}

/** By tfjs alone. Frees all it makes. */
export function passOfTfjs(of: LayersModel, { training, samples = 5, seed = 1 }: PassOptions): Pass {
  const inputs = inputsFor(of, samples, seed).map(({ values, shape }) => tf.variable(tf.tensor(values, shape)));
  // A scope: the pass is no tensor that tf.tidy() could return.
  tf.engine().startScope();
  try {
    let outputs: Float32Array[] = [];
    const loss = (): tf.Scalar => {
      const made = [of.apply(inputs, { training })].flat() as tf.Tensor[];
      outputs = made.map(floatsOf);
      return weightedSum(...made) as tf.Scalar;
    };
    const trained = of.trainableWeights.map((one): tf.Variable => one.read() as never);
    const wanted = [...trained, ...(isOfIntegers(of) ? [] : inputs)];
    const grads = wanted.length > 0 ? tf.variableGrads(loss, wanted).grads : (loss(), {} as tf.NamedTensorMap);
    const gradientOf = ({ name, shape }: tf.Variable): Float32Array => floatsOf(grads[name] ?? tf.zeros(shape));
    return {
      outputs,
      dx: isOfIntegers(of) ? [] : inputs.map(gradientOf),
      gradients: new Map(trained.map((one) => [one.name, gradientOf(one)])),
      weights: weightsOf(of),
    };
  } finally {
    tf.engine().endScope();
    tf.dispose(inputs);
  }
}

/** By a module, which may be spread over devices. */
export async function passOfModule(
  of: LayersModel,
  deviceIds: string[],
  { training, samples = 5, seed = 1 }: PassOptions,
): Promise<Pass> {
  const net = fromLayersModel(of);
  const parallel = convertModel(new DataParallel(net, { deviceIds }));
  parallel.train(training);
  await net.to(deviceIds[0] ?? 'cpu:0');
  const requiresGrad = !isOfIntegers(of);
  const xs = inputsFor(of, samples, seed).map(({ values, shape }) => tensor(values, shape, { requiresGrad }));
  const outputs = [await parallel.forward(...xs)].flat();
  const loss = await tfFunction<tf.Tensor[], tf.Tensor>(weightedSum)(...outputs);
  if (loss.requiresGrad) await loss.backward();
  const gradients = new Map<string, Float32Array>();
  for (const variable of of.trainableWeights) {
    const place = net.places.all.find((one) => one.variable === variable);
    const weight = place && tensorAt(net.layers, place);
    gradients.set(variable.name, (await weight?.grad?.data()) ?? new Float32Array(variable.read().size));
  }
  const dx = xs.map(async (x) => (await x.grad?.data()) ?? new Float32Array(x.shape.reduce((a, b) => a * b, 1)));
  await net.writeBack();
  return {
    outputs: await Promise.all(outputs.map((y) => y.data())),
    dx: requiresGrad ? await Promise.all(dx) : [],
    gradients,
    weights: weightsOf(of),
  };
}

function floatsOf(values: tf.Tensor): Float32Array {
  return values.dataSync().slice() as Float32Array;
}

/** The largest difference, of the largest value of all; `Infinity` where the sizes differ. */
export function difference(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  if (actual.length !== expected.length || actual.some(({ length }, i) => length !== expected[i]?.length)) {
    return Infinity;
  }
  let [most, largest] = [0, 0];
  expected.forEach((values, i) => {
    Array.from(values).forEach((value, k) => {
      largest = Math.max(largest, Math.abs(value));
      most = Math.max(most, Math.abs((actual[i]?.[k] ?? NaN) - value));
    });
  });
  return most / (largest || 1);
}

/** Whether a weight belongs to a batch norm. */
export function isOfBatchNorm(name: string): boolean {
  return /gamma|beta/.test(name);
}

/** What must be the same bits on any number of devices, by name: all but the gradients of other layers, which are sums of parts. */
export function exactPartsOf({ outputs, dx, gradients, weights }: Pass): ReadonlyMap<string, Float32Array> {
  const entries = [
    ...outputs.map((values, i) => [`output ${i}`, values] as const),
    ...dx.map((values, i) => [`dx ${i}`, values] as const),
    ...[...gradients].filter(([name]) => isOfBatchNorm(name)).map(([name, values]) => [`d${name}`, values] as const),
    // Before the optimizer has run only moving averages change.
    ...weights.map((values, i) => [`weight ${i}`, values] as const),
  ];
  return new Map(entries);
}

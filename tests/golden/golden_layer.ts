/** Runs the steps of a golden case on a layer, whatever kind of layer it is. */

import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  scope,
  tensor,
  type BatchNorm,
  type BatchNormOptions,
  type MemoryFormat,
  type Parameter,
  type Tensor,
} from 'syncbn';
import type { ReferenceLayer } from '../support/reference.ts';
import { arrayOf, type GoldenCase, type GoldenStep } from './golden_data.ts';

/** What calls the layer: the layer itself, or what wraps it. */
export interface Caller {
  forward(x: Tensor): Promise<Tensor>;
}

/** What a step was given and what it gave, on the host and in logical order. */
export interface StepRecord {
  readonly x: Float32Array;
  readonly dy: Float32Array;
  /** The layer before the step, for the f64 reference. */
  readonly before: ReferenceLayer;
  readonly y: Float32Array;
  readonly dx: Float32Array;
  readonly dweight: Float32Array | null;
  readonly dbias: Float32Array | null;
  readonly runningMean: Float32Array | null;
  readonly runningVar: Float32Array | null;
  readonly numBatchesTracked: number | null;
  readonly memoryFormat: MemoryFormat;
}

/** Classes by the names of the golden files. */
export const layerClasses = { BatchNorm1d, BatchNorm2d, BatchNorm3d };

/** The constructor's options of a case. */
export function optionsOf(given: GoldenCase): BatchNormOptions {
  const { eps, momentum, affine, bias, track_running_stats: trackRunningStats } = given.options;
  return { eps, momentum, affine, bias, trackRunningStats };
}

/** Puts the layer into the state that the case begins with. */
export async function initialize(layer: BatchNorm, given: GoldenCase): Promise<void> {
  const values = Object.entries(given.initial).map(([name, spec]) => {
    return [name, tensor(arrayOf(spec, given.num_features), [given.num_features])] as const;
  });
  await layer.loadStateDict(Object.fromEntries(values), { strict: false });
  if (given.untracked_afterwards) layer.trackRunningStats = false;
}

/** One forward and backward pass, as in a training loop. */
export async function runStep(
  caller: Caller,
  layer: BatchNorm,
  step: GoldenStep,
  where: { device: string; memoryFormat: MemoryFormat },
): Promise<StepRecord> {
  return scope(() => forwardAndBackward(caller, layer, step, where));
}

async function forwardAndBackward(
  caller: Caller,
  layer: BatchNorm,
  step: GoldenStep,
  where: { device: string; memoryFormat: MemoryFormat },
): Promise<StepRecord> {
  const count = step.shape.reduce((product, size) => product * size, 1);
  const [values, gradient] = [arrayOf(step.x, count), arrayOf(step.dy, count)];
  layer.train(step.training).zeroGrad();
  const before = await referenceLayer(layer);
  const x = tensor(values, step.shape, { ...where, requiresGrad: true });
  const y = await caller.forward(x);
  await y.backward(tensor(gradient, step.shape, { ...where, device: y.device }));
  return {
    x: values,
    dy: gradient,
    before,
    y: await y.data(),
    dx: await existing(x.grad, 'x.grad').data(),
    dweight: await gradientOf(layer.weight),
    dbias: await gradientOf(layer.bias),
    runningMean: (await layer.runningMean?.data()) ?? null,
    runningVar: (await layer.runningVar?.data()) ?? null,
    numBatchesTracked: layer.numBatchesTracked,
    memoryFormat: y.memoryFormat,
  };
}

/** What the f64 reference has to know of a layer about to be called. */
async function referenceLayer(layer: BatchNorm): Promise<ReferenceLayer> {
  const { eps, training, momentum, numBatchesTracked } = layer;
  const isTracking = training && layer.trackRunningStats;
  return {
    weight: (await layer.weight?.data()) ?? null,
    bias: (await layer.bias?.data()) ?? null,
    runningMean: (await layer.runningMean?.data()) ?? null,
    runningVar: (await layer.runningVar?.data()) ?? null,
    eps,
    // A momentum of 0 leaves the running statistics as they are, up to a rounding that f64 does not have.
    momentum: isTracking ? (momentum ?? 1 / ((numBatchesTracked ?? 0) + 1)) : 0,
    batchStatistics: training || layer.runningMean === null,
  };
}

async function gradientOf(parameter: Parameter | null): Promise<Float32Array | null> {
  return parameter && existing(parameter.grad, 'grad').data();
}

function existing(gradient: Tensor | null, name: string): Tensor {
  if (gradient === null) throw new Error(`backward() left ${name} null`);
  return gradient;
}

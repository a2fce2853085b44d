/** A layer on one device, from its construction on: its values against f64, its bits against those of `cpu:63`. */

import { noGrad, tensor } from 'syncbn';
import { ulp } from '../../tests/support/bits.ts';
import { randomArray } from '../../tests/support/random.ts';
import { referenceBackward, referenceForward, type ReferenceLayer } from '../../tests/support/reference.ts';
import { againstExact, expectWithin, type Known, type Quantity } from '../../tests/support/tolerances.ts';
import { isFinite, valuesOf } from '../batches.ts';
import { disposeModel, newLayer, randomizeState } from '../model.ts';
import { checkBits, checkComparison, checkOutcome, errorOf, failure, success } from '../outcome.ts';
import type { LayerStep } from '../program.ts';
import { elementsOf } from '../shards.ts';
import type { World } from '../world.ts';

/** Everything that a training step and an evaluation give, by name. */
type Results = ReadonlyMap<string, Float32Array>;

interface Inputs {
  readonly shape: readonly number[];
  readonly x: Float32Array;
  readonly dy: Float32Array;
}

/** The largest number of f32. */
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

export async function layer(world: World, step: LayerStep): Promise<void> {
  const device = world.nameAt(step.device);
  if (world.lost.has(device)) return;
  const { samples, rest, values, seed } = step.batch;
  const shape = world.shapeOf(samples, rest, step.channels);
  const count = elementsOf(shape);
  const inputs = { shape, x: valuesOf(count, values, seed), dy: randomArray(seed + 1, count) };
  const results = await resultsOn(world, device, step, inputs);
  if (results === null) return;
  if (device.startsWith('worker:')) await checkAgainstCpu(world, step, inputs, results);
  if (step.options.numerics === 'stable' && isFinite(values)) checkAgainstExact(device, step, inputs, results);
}

/** @returns `null` where the batch was refused, as it should be. */
async function resultsOn(world: World, device: string, step: LayerStep, inputs: Inputs): Promise<Results | null> {
  const { shape } = inputs;
  const making = { rank: world.program.rank, channels: step.channels, synchronized: false, device };
  const norm = newLayer(step.options, making);
  const results = new Map<string, Float32Array>();
  const memoryFormat = step.batch.format;
  try {
    await randomizeState(norm, step.batch.seed);
    const x = tensor(inputs.x, shape, { device, memoryFormat, requiresGrad: true });
    const error = await errorOf(async () => {
      const y = await norm.forward(x);
      results.set('y', await y.data());
      const dy = tensor(inputs.dy, shape, { device });
      if (step.donate) dy.donate();
      await y.backward(dy);
      [y, dy].forEach((item) => item.dispose());
    });
    const isTooSmall = elementsOf(shape) === step.channels;
    checkOutcome('forward and backward of a layer', error, isTooSmall ? failure(RangeError) : success);
    if (isTooSmall) {
      x.dispose();
      return null;
    }
    results.set('dx', (await x.grad?.data()) ?? new Float32Array());
    x.dispose();
    for (const [name, parameter] of norm.namedParameters()) {
      results.set(`d${name}`, (await parameter.grad?.data()) ?? new Float32Array());
    }
    for (const [name, buffer] of norm.namedBuffers()) results.set(name, await buffer.data());
    norm.eval();
    const again = tensor(inputs.x, shape, { device, memoryFormat });
    if (step.donate) again.donate();
    const evaluated = await noGrad(() => norm.forward(again));
    results.set('evaluated', await evaluated.data());
    [again, evaluated].forEach((item) => item.dispose());
  } finally {
    disposeModel(norm);
  }
  return results;
}

async function checkAgainstCpu(world: World, step: LayerStep, inputs: Inputs, results: Results): Promise<void> {
  const expected = await resultsOn(world, 'cpu:63', step, inputs);
  for (const [name, values] of results) checkBits('bits', `${name} of a layer`, values, expected?.get(name));
}

function checkAgainstExact(device: string, step: LayerStep, { shape, x, dy }: Inputs, results: Results): void {
  const { options, channels } = step;
  const comparison = againstExact(device.startsWith('webgpu:') ? 'webgpu' : 'cpu');
  const check = (name: string, quantity: Quantity, expected: ArrayLike<number>, known: Known = {}): void => {
    const label = `${name} of a layer`;
    // What f32 cannot hold is an infinity.
    const rounded = Array.from(expected, (value) => (Math.abs(value) > LARGEST ? Math.fround(value) : value));
    const compare = (): void => expectWithin(comparison, quantity, results.get(name) ?? [], rounded, label, known);
    checkComparison('value', label, compare);
  };
  const start = initialState(step);
  const momentum = options.momentum ?? 1;
  const settings: ReferenceLayer = { ...start, eps: options.eps, momentum, batchStatistics: true };
  const forward = referenceForward(x, shape, settings);
  const backward = referenceBackward(x, dy, shape, settings, forward);
  check('y', 'output', forward.y, { pytorchError: errorOfOutput(x, settings, forward) });
  const slopes = forward.invstd.map((value, c) => Math.abs(value * (start.weight?.[c] ?? 1)));
  check('dx', 'gradient', backward.dx, { scale: largest(slopes) * largest(dy) });
  const perChannel = elementsOf(shape) / channels;
  const scale = Math.sqrt(perChannel) * largest(dy);
  if (start.weight !== null) check('dweight', 'gradient', backward.dweight, { scale });
  if (start.bias !== null) check('dbias', 'gradient', backward.dbias, { scale });
  if (forward.runningMean !== null) {
    check('running_mean', 'running', forward.runningMean, { terms: forward.runningMeanTerm });
  }
  if (forward.runningVar !== null) {
    // A square has twice the relative error of what is squared.
    const terms = forward.runningVarTerm.map((term) => 2 * term);
    check('running_var', 'running', forward.runningVar, { terms });
  }
  const runningMean = results.get('running_mean') ?? null;
  const runningVar = results.get('running_var') ?? null;
  const later = { ...settings, runningMean, runningVar, batchStatistics: runningMean === null };
  const evaluated = referenceForward(x, shape, later);
  check('evaluated', 'output', evaluated.y, { pytorchError: errorOfOutput(x, later, evaluated) });
}

/** What {@link randomizeState} gives a layer. */
function initialState(step: LayerStep): Pick<ReferenceLayer, 'weight' | 'bias' | 'runningMean' | 'runningVar'> {
  const { affine, bias, trackRunningStats } = step.options;
  let number = step.batch.seed;
  const next = (offset: number, distribution: 'normal' | 'uniform' = 'normal'): Float32Array =>
    randomArray(number++, step.channels, { offset, distribution });
  const weight = affine ? next(0.5) : null;
  const biasValues = affine && bias ? next(0) : null;
  const runningMean = trackRunningStats ? next(0) : null;
  const runningVar = trackRunningStats ? next(0.5, 'uniform') : null;
  return { weight, bias: biasValues, runningMean, runningVar };
}

/** Values per channel from which the statistics are summed in f32, whose errors `docs/numerics.md` tells. */
const LEAF_VALUES = 32;

/**
 * How far off an output may be: what `docs/numerics.md` promises, 16 units in the last place of the largest value, 4 of few values; and what PyTorch
 * may be, which computes y = x·s + (b − mean·s) in f32. Rounding s costs up to one ulp of the largest term; each product, the difference
 * and the sum cost half a one.
 */
export function errorOfOutput(
  x: ArrayLike<number>,
  { weight, bias }: ReferenceLayer,
  { y, mean, invstd }: { readonly y: ArrayLike<number>; readonly mean: Float64Array; readonly invstd: Float64Array },
): number {
  const slope = largest(invstd.map((value, c) => value * (weight?.[c] ?? 1)));
  const rounding = 3 * ulp(slope * (largest(x) + largest(mean)) + largest(bias ?? []));
  const promised = (x.length / mean.length < LEAF_VALUES ? 4 : 16) * ulp(largest(y));
  return Math.max(rounding, promised);
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

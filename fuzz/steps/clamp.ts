/** Layers with `epsMode: 'clamp'`, max(var, eps) instead of var + eps: against f64, and to the same bits on any devices. */

import { DataParallelWithCallBack, devices, SynchronizedBatchNorm1d, tensor } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { referenceBackward, referenceForward, type ReferenceLayer } from '../../tests/support/reference.ts';
import { againstExact, expectWithin, type Known, type Quantity } from '../../tests/support/tolerances.ts';
import { valuesOf } from '../batches.ts';
import { disposeModel } from '../model.ts';
import { checkBits, checkComparison } from '../outcome.ts';
import type { StepOf } from '../program.ts';
import { elementsOf } from '../shards.ts';
import type { World } from '../world.ts';
import { errorOfOutput } from './layer.ts';

type Results = ReadonlyMap<string, Float32Array>;

export async function clamp(world: World, step: StepOf<'clamp'>): Promise<void> {
  const { samples, rest, seed } = step.batch;
  const shape = [samples, world.program.channels, rest[0] ?? 1];
  // On one device, and where there is one share, var + eps holds.
  if (world.lost.size > 0 || world.names.length < 2 || samples < 2) return;
  const x = valuesOf(elementsOf(shape), step.batch.values, seed);
  const dy = randomArray(seed + 1, x.length);
  const results = await resultsOn(world.names, step, shape, x, dy);
  const two = await resultsOn(world.names.slice(0, 2), step, shape, x, dy);
  if (world.isExact) {
    for (const [name, values] of results) checkBits('bits', `${name} of a clamped layer`, values, two.get(name));
  }
  checkAgainstExact(world, step, shape, { x, dy }, results);
}

async function resultsOn(
  deviceIds: readonly string[],
  { eps, affine, batch }: StepOf<'clamp'>,
  shape: readonly number[],
  data: Float32Array,
  gradient: Float32Array,
): Promise<Results> {
  const device = deviceIds[0] ?? 'cpu:0';
  await devices.get(device).ready();
  const norm = new SynchronizedBatchNorm1d(shape[1] ?? 1, { eps, affine, epsMode: 'clamp', momentum: 1, device });
  const x = tensor(data, shape, { device, requiresGrad: true, memoryFormat: batch.format });
  const dy = tensor(gradient, shape, { device });
  const y = await new DataParallelWithCallBack(norm, { deviceIds }).forward(x);
  const results = new Map([['y', await y.data()]]);
  await y.backward(dy);
  results.set('dx', (await x.grad?.data()) ?? new Float32Array());
  for (const [name, parameter] of norm.namedParameters()) {
    results.set(`d${name}`, (await parameter.grad?.data()) ?? new Float32Array());
  }
  for (const [name, buffer] of norm.namedBuffers()) results.set(name, await buffer.data());
  [x, dy, y].forEach((item) => item.dispose());
  disposeModel(norm);
  return results;
}

function checkAgainstExact(
  world: World,
  { eps }: StepOf<'clamp'>,
  shape: readonly number[],
  { x, dy }: { readonly x: Float32Array; readonly dy: Float32Array },
  results: Results,
): void {
  const channels = shape[1] ?? 1;
  const hasGpus = world.names.some((name) => name.startsWith('webgpu:'));
  const settings: ReferenceLayer = {
    weight: null,
    bias: null,
    runningMean: new Float32Array(channels),
    runningVar: new Float32Array(channels).fill(1),
    eps,
    momentum: 1,
    batchStatistics: true,
    epsMode: 'clamp',
  };
  const forward = referenceForward(x, shape, settings);
  const backward = referenceBackward(x, dy, shape, settings, forward);
  const check = (name: string, quantity: Quantity, expected: ArrayLike<number>, known: Known = {}): void => {
    const label = `${name} of a clamped layer`;
    const comparison = againstExact(hasGpus ? 'webgpu' : 'cpu');
    checkComparison('value', label, () =>
      expectWithin(comparison, quantity, results.get(name) ?? [], expected, label, known),
    );
  };
  check('y', 'output', forward.y, { pytorchError: errorOfOutput(x, settings, forward) });
  check('dx', 'gradient', backward.dx, { scale: largest(forward.invstd) * largest(dy) });
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** Two other models on the same devices, forward and backward at the same time. */

import { DataParallelWithCallBack, devices, tensor, type Tensor } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { expectWithin } from '../../tests/support/tolerances.ts';
import { valuesOf } from '../batches.ts';
import { disposeModel, randomizeState, isRace, Staged, stateOf } from '../model.ts';
import { checkBits, checkComparison, checkOutcome, errorOf, success } from '../outcome.ts';
import type { BatchSpec, ModuleSpec, StepOf } from '../program.ts';
import { elementsOf } from '../shards.ts';
import type { World } from '../world.ts';

export async function concurrent(world: World, { models, batches }: StepOf<'concurrent'>): Promise<void> {
  if (world.lost.size > 0) return;
  const pairs = models.map((spec, i) => ({ spec, batch: batches[i % Math.max(batches.length, 1)] }));
  await Promise.all(
    pairs.map(async ({ spec, batch }) => (batch === undefined ? undefined : trainOnce(world, spec, batch))),
  );
}

async function trainOnce(world: World, spec: ModuleSpec, batch: BatchSpec): Promise<void> {
  const { rank, channels } = world.program;
  const shape = world.shapeOf(batch.samples, batch.rest);
  // A batch of one value per channel is refused: other steps try that.
  if (elementsOf(shape) === channels) return;
  const making = { rank, channels };
  const model = new Staged([spec], { ...making, synchronized: true, device: world.first });
  const twin = new Staged([spec], { ...making, synchronized: false, device: world.twinDevice });
  const net = new DataParallelWithCallBack(model, { deviceIds: world.names });
  for (const one of [model, twin]) await randomizeState(one, batch.seed);
  const [own, expected] = [newTensors(shape, batch, world.first), newTensors(shape, batch, world.twinDevice)];
  const error = await errorOf(async () => {
    const y = await net.forward(own.x);
    own.made.push(y);
    if (y.requiresGrad) await y.backward(own.dy);
  });
  checkOutcome('forward and backward at once', error, success);
  const y = await twin.forward(expected.x);
  expected.made.push(y);
  if (y.requiresGrad) await y.backward(expected.dy);
  const [mine, other] = [await own.made.at(-1)?.data(), await y.data()];
  checkComparison(world.isExact ? 'bits' : 'value', 'y at once', () =>
    expectWithin(
      world.isExact ? 'several devices against one' : 'WebGPU against f64',
      'output',
      mine ?? [],
      other,
      'y',
    ),
  );
  if (world.isExact && !isRace(spec)) {
    checkBits('bits', 'dx at once', await own.x.grad?.data(), await expected.x.grad?.data());
    const [state, wanted] = [await stateOf(model), await stateOf(twin)];
    for (const [name, values] of wanted) checkBits('state', `${name} at once`, state.get(name), values);
  }
  [...own.made, ...expected.made].forEach((item) => item.dispose());
  [model, twin].forEach(disposeModel);
}

function newTensors(
  shape: readonly number[],
  { values, seed, format }: BatchSpec,
  device: string,
): { readonly x: Tensor; readonly dy: Tensor; readonly made: Tensor[] } {
  const count = elementsOf(shape);
  const { name } = devices.get(device);
  const x = tensor(valuesOf(count, values, seed), shape, { device: name, requiresGrad: true, memoryFormat: format });
  const dy = tensor(randomArray(seed + 1, count), shape, { device: name });
  return { x, dy, made: [x, dy] };
}

/** Changes of a model's state, which the twin gets too. */

import { DeviceLostError, type Module, type Parameter, type StateDict, tensor, type Tensor } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { layersOf } from '../model.ts';
import { checkOutcome, errorOf, failure } from '../outcome.ts';
import type { StepOf } from '../program.ts';
import { elementsOf } from '../shards.ts';
import type { World } from '../world.ts';

export type Change = Extract<StepOf<'update' | 'zeroGrad' | 'save' | 'convert'>, { readonly seed: number }>;

export async function change(world: World, { kind, seed }: Change): Promise<void> {
  const models = [world.net.module, world.twin.module];
  switch (kind) {
    case 'update':
      // As the same values on both sides, read from one: the state is checked after each step.
      return updateBoth(models, seed);
    case 'copy':
      for (const model of models) await copyValues(model, seed);
      return;
    case 'load':
      await copyValues(world.twin.module, seed);
      return world.restore();
    case 'zeroGrad':
      models.forEach((model) => model.zeroGrad());
      return;
    case 'gradNull':
      for (const model of models) for (const parameter of model.parameters()) exchangeGradient(parameter, null);
      return;
    case 'gradSet':
      models.forEach((model) => setGradients(model, seed));
      return;
    case 'save':
      world.forgetSnapshots();
      world.snapshots = { own: world.net.module.stateDict(), twin: world.twin.module.stateDict() };
      return;
    case 'restore':
      return restore(world);
    case 'reset':
      for (const layer of models.flatMap(layersOf)) {
        if (seed % 2 === 0) layer.resetRunningStats();
        else layer.resetParameters();
      }
      return;
    case 'freeze':
      models.forEach((model) => model.requiresGrad_(seed % 2 === 0));
      return;
    case 'convert':
      world.convert(true);
      return;
    case 'revert':
      world.convert(false);
      return;
    default:
      kind satisfies never;
  }
}

/** Moves the model to another of its devices and back. Where that device is lost, nothing moves. */
export async function move(world: World, { device }: StepOf<'move'>): Promise<void> {
  const name = world.nameAt(device);
  const { net } = world;
  const isLost = world.lost.has(name);
  const parameters = [...net.parameters()];
  const error = await errorOf(() => net.to(name));
  const isEmpty = parameters.length === 0 && [...net.buffers()].length === 0;
  checkOutcome(
    'move',
    error,
    isLost && !isEmpty ? failure(DeviceLostError) : { classes: [DeviceLostError], mayPass: true },
  );
  if (error !== null) return;
  if (name !== world.first && !isEmpty) {
    const x = tensor(new Float32Array(elementsOf(world.shapeOf(2, [2]))), world.shapeOf(2, [2]));
    const refused = await errorOf(() => net.forward(x));
    x.dispose();
    const isAnyLost = world.names.some((one) => world.lost.has(one));
    checkOutcome('forward elsewhere', refused, failure(RangeError, ...(isAnyLost ? [DeviceLostError] : [])));
  }
  await net.to(world.first);
}

/** A step of gradient descent; what has no gradient gets other values. */
async function updateBoth(models: readonly Module[], seed: number): Promise<void> {
  for (const model of models) {
    for (const [i, parameter] of [...model.parameters()].entries()) {
      const [values, gradient] = [await parameter.data(), await parameter.grad?.data()];
      const step = gradient ?? randomArray(seed + i, values.length);
      await parameter.copy_(values.map((value, c) => value - 0.1 * (step[c] ?? Number.NaN)));
    }
  }
}

/** Gives parameters values from a tensor on another device. */
async function copyValues(model: Module, seed: number): Promise<void> {
  for (const [i, parameter] of [...model.parameters()].entries()) {
    const source = tensor(randomArray(seed + i, elementsOf(parameter.shape)), parameter.shape);
    await parameter.copy_(source);
    source.dispose();
  }
}

function setGradients(model: Module, seed: number): void {
  for (const [i, parameter] of [...model.parameters()].entries()) {
    const values = randomArray(seed + i, elementsOf(parameter.shape));
    exchangeGradient(parameter, tensor(values, parameter.shape, { device: parameter.device }));
  }
}

/** What was read of a gradient is the reader's: the check after each step reads all. */
function exchangeGradient(parameter: Parameter, gradient: Tensor | null): void {
  const { grad: before } = parameter;
  parameter.grad = gradient;
  before?.dispose();
}

async function restore({ snapshots, net, twin }: World): Promise<void> {
  if (snapshots === null) return;
  const load = (model: Module, state: StateDict): Promise<unknown> => model.loadStateDict(state);
  await load(net.module, snapshots.own);
  await load(twin.module, snapshots.twin);
}

/** Gradients that are set or computed inside scopes outlive them; other tensors do not. */

import { BatchNorm1d, devices, scope, tensor, type Tensor } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { disposeModel } from '../model.ts';
import { checkBits, Fault } from '../outcome.ts';
import type { StepOf } from '../program.ts';
import type { World } from '../world.ts';

const shape = [4, 3];

export async function scopes(world: World, step: StepOf<'scopes'>): Promise<void> {
  const device = world.nameAt(step.device);
  if (world.lost.has(device)) return;
  await devices.get(device).ready();
  const depth = 1 + (step.depth % 3);
  const [inside, outside]: [Tensor[], Tensor[]] = [[], []];
  const [scoped, free] = [newLeaf(device, step.seed), newLeaf(device, step.seed)];
  const norms = [scoped, free].map(() => new BatchNorm1d(3, { device }));
  try {
    if (step.isAsync) {
      await scopeAround(depth, () => train(norms[0], scoped, step.seed, inside));
      await train(norms[1], free, step.seed, outside);
    } else {
      inSyncScopes(depth, () => setGradient(scoped, step.seed, inside));
      setGradient(free, step.seed, outside);
    }
    if (inside.some((item) => !item.isDisposed)) {
      throw new Fault('state', 'a tensor of a scope', 'expected it disposed after the scope, and it is not');
    }
    checkBits('bits', 'a gradient after its scope', await scoped.grad?.data(), await free.grad?.data());
  } finally {
    [scoped, free, ...outside].forEach((item) => item.dispose());
    norms.forEach(disposeModel);
  }
}

function newLeaf(device: string, seed: number): Tensor {
  return tensor(randomArray(seed, 12), shape, { device, requiresGrad: true });
}

/** @param made - gets what a scope has to dispose. */
function setGradient(leaf: Tensor, seed: number, made: Tensor[]): void {
  const gradient = tensor(randomArray(seed + 1, 12), shape, { device: leaf.device });
  made.push(gradient.detach());
  leaf.grad = gradient;
}

/** Adds to a gradient that was set before. */
async function train(norm: BatchNorm1d | undefined, leaf: Tensor, seed: number, made: Tensor[]): Promise<void> {
  if (norm === undefined) throw new RangeError('expected a layer');
  setGradient(leaf, seed, made);
  const y = await norm.forward(leaf);
  const dy = tensor(randomArray(seed + 2, 12), shape, { device: leaf.device });
  made.push(y, dy);
  await y.backward(dy);
}

async function scopeAround(depth: number, run: () => Promise<void>): Promise<void> {
  await scope(() => (depth > 1 ? scopeAround(depth - 1, run) : run()));
}

function inSyncScopes(depth: number, run: () => void): void {
  scope(() => {
    if (depth > 1) inSyncScopes(depth - 1, run);
    else run();
  });
}

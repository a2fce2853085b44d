/** A backward pass of the model and of its twin. */

import { DeviceLostError, devices, tensor } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { expectWithin } from '../../tests/support/tolerances.ts';
import { prepareBackward } from '../mishap.ts';
import { checkBits, checkComparison, checkOutcome, errorOf, perhaps } from '../outcome.ts';
import type { StepOf } from '../program.ts';
import { elementsOf, take } from '../shards.ts';
import type { Graph, World } from '../world.ts';
import { joined } from './twin_pass.ts';

/** Where last bits may differ, gradients are as far apart as each may be from the exact ones. */
const comparison = 'stable numerics against f64';

export async function backward(world: World, graph: Graph, step: StepOf<'backward'>): Promise<void> {
  const { shape, x, y, replicas } = graph;
  const isWhole = graph.devices.every((device) => devices.get(device.name) === device && !world.lost.has(device.name));
  const prepared = prepareBackward(world, isWhole ? step.fault : null, replicas, graph.probe !== null);
  if (graph.probe !== null) graph.probe.run = prepared.probe;
  const dy = randomArray(step.seed, elementsOf(shape));
  const error = await errorOf(async () => {
    const gradient = tensor(dy, shape, { device: y.device, memoryFormat: step.format });
    if (step.donate) gradient.donate();
    const pass = y.backward(gradient);
    prepared.meanwhile();
    await pass.finally(() => gradient.dispose());
  });
  await prepared.finish();
  checkOutcome('backward', error, isWhole ? prepared.expected : perhaps(DeviceLostError));
  if (error === null) {
    await backwardOfTwin(world, graph, dy);
    if (!x.isDisposed && x.requiresGrad && ![world.first, x.device].some((name) => world.lost.has(name))) {
      await checkInputGradient(world, graph, dy);
    }
  }
  world.release(graph);
}

async function checkInputGradient(
  world: World,
  { shape, x, twins, sameInputGradient }: Graph,
  dy: Float32Array,
): Promise<void> {
  const expected = await joined(shape, twins, (twin) => twin.x.grad?.data());
  const got = (await x.grad?.data()) ?? [];
  if (sameInputGradient) {
    checkBits('bits', 'dx', got, world.sabotage?.('dx', expected, shape) ?? expected);
    return;
  }
  const scale = 10 * largest(dy) + largest(expected);
  const nonFinite = expected.some((value) => !Number.isFinite(value));
  const known = { scale, nonFinite };
  checkComparison('value', 'dx', () => expectWithin(comparison, 'gradient', got, expected, 'dx', known));
}

/** The twin's backward; where sums may differ in their last bits, the twin gets those of the model. */
async function backwardOfTwin(world: World, { twins, sameSums }: Graph, dy: Float32Array): Promise<void> {
  const before = await gradientsOf(world);
  for (const { part, y, x } of twins) {
    const gradient = tensor(take(dy, part), part.shape, { device: world.twinDevice, memoryFormat: x.memoryFormat });
    await y.backward(gradient);
    gradient.dispose();
  }
  if (sameSums || world.lost.has(world.first)) return;
  await checkSums(world, twins, before);
  await world.adoptGradients();
}

type Gradients = readonly (Float32Array | null)[];

async function gradientsOf({ twin }: World): Promise<Gradients> {
  return Promise.all([...twin.module.parameters()].map(async ({ grad }) => (await grad?.data()) ?? null));
}

/** The gradients of the parameters are the sums of those of all parts. */
async function checkSums(world: World, twins: Graph['twins'], before: Gradients): Promise<void> {
  const own = [...world.net.module.namedParameters()];
  const models = twins.map(({ model }) => [...model.parameters()]);
  const allParts = await Promise.all(
    models.map((parameters) => Promise.all(parameters.map(async ({ grad }) => (await grad?.data()) ?? null))),
  );
  // Terms cancel: what is large anywhere is the scale everywhere.
  const scale = twins.length * Math.max(1, ...[...allParts.flat(), ...before].map((values) => largest(values ?? [])));
  for (const [i, [name, parameter]] of own.entries()) {
    const parts = allParts.map((values) => values[i] ?? null).filter((part) => part !== null);
    const label = `${name}.grad`;
    const got = (await parameter.grad?.data()) ?? [];
    if (parts.length === 0) {
      checkBits('state', label, got, []);
      continue;
    }
    // The twin's own gradient has its old value in it already.
    const expected = Array.from(parts[0] ?? [], (_, c) => parts.reduce((sum, part) => sum + (part[c] ?? 0), 0));
    const nonFinite = expected.some((value) => !Number.isFinite(value));
    const known = { scale, nonFinite };
    checkComparison('value', label, () => expectWithin(comparison, 'gradient', got, expected, label, known));
  }
}

/** The largest value that is finite. */
function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce(
    (most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most),
    0,
  );
}

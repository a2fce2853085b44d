/** A forward pass of the model and of its twin. */

import { DeviceLostError, devices, noGrad, scope, tensor, type Tensor } from 'syncbn';
import { expectWithin } from '../../tests/support/tolerances.ts';
import { valuesOf } from '../batches.ts';
import { prepareForward } from '../mishap.ts';
import { quietScript, isRace, stateOf } from '../model.ts';
import { checkBits, checkComparison, checkOutcome, errorOf, failure } from '../outcome.ts';
import type { ForwardStep } from '../program.ts';
import { elementsOf, shardsOf } from '../shards.ts';
import type { Graph, World } from '../world.ts';
import { backward } from './backward.ts';
import { isTooSmall, joined, partsOf, runTwin } from './twin_pass.ts';

export async function forward(world: World, step: ForwardStep): Promise<void> {
  if (step.mode !== 'scope') {
    const graph = await pass(world, step);
    if (graph !== null) world.push(graph);
    return;
  }
  await scope(async () => {
    const graph = await pass(world, step);
    if (graph === null) return;
    const rest = { graph: 0, seed: step.batch.seed + 1, format: step.batch.format, donate: false, fault: null };
    await backward(world, graph, { kind: 'backward', ...rest });
  });
}

/** @returns the graph, where there is one. */
async function pass(world: World, step: ForwardStep): Promise<Graph | null> {
  const { batch, training } = step;
  const { names, net, twin, program } = world;
  const shape = world.shapeOf(batch.samples, batch.rest);
  const lengths = program.rank > 2 ? step.lengths : [];
  const shards = shardsOf(shape, world.dim, names.length, lengths);
  const replicas = names.slice(0, shards.length);
  const parts = partsOf(world, shards, training);
  const from = world.nameAt(step.from);
  const output = names.length > 1 ? world.nameAt(program.output) : world.first;
  const used = [...replicas, from, output];
  const isLost = used.some((name) => world.lost.has(name)) || world.lost.has(world.first);
  const isRefused = isTooSmall(world, parts, training);

  [net, twin].forEach((module) => module.train(training));
  const synchronizes = training && world.synchronized;
  const prepared = prepareForward(world, isLost ? null : step.fault, replicas, synchronizes);
  const probe = { run: (_device: string): void => undefined };
  net.module.script = {
    ...prepared.script,
    lengthOn: (device) => (lengths.length === 0 ? null : (lengths[replicas.indexOf(device) % lengths.length] ?? null)),
    probe: step.probe ? (device) => probe.run(device) : null,
  };
  const data = valuesOf(elementsOf(shape), batch.values, batch.seed);
  let x: Tensor | null = null;
  let y: Tensor | null = null;
  const error = await errorOf(async () => {
    const { requiresGrad } = step;
    const input = tensor(data, shape, { device: from, requiresGrad, memoryFormat: batch.format });
    x = input;
    if (step.donate && !requiresGrad && canDonate(world)) input.donate();
    const run = (): Promise<Tensor> => net.forward(input);
    y = await (step.mode === 'noGrad' ? noGrad(run) : run());
  });
  net.module.script = quietScript();
  await prepared.finish();
  const [given, result] = [x as Tensor | null, y as Tensor | null];

  const expected = isLost
    ? failure(DeviceLostError)
    : isRefused
      ? { classes: [RangeError, ...prepared.expected.classes], mayPass: false }
      : prepared.expected;
  checkOutcome(training ? 'forward' : 'evaluation', error, expected);
  if (given === null || result === null) {
    given?.dispose();
    return null;
  }

  const twins = await runTwin(world, parts, data, batch);
  const isOrdered = world.isExact && (shards.length === 1 || !program.model.some(isRace));
  const graph: Graph = {
    shape,
    x: given,
    y: result,
    shards,
    twins,
    devices: used.map((name) => devices.get(name)),
    replicas,
    training,
    sameInputGradient: isOrdered,
    sameSums: isOrdered && (shards.length === 1 || synchronizes),
    probe: step.probe ? probe : null,
  };
  if (!used.some((name) => world.lost.has(name))) await checkForward(world, graph);
  if (result.requiresGrad && step.mode !== 'noGrad') return graph;
  world.release(graph);
  return null;
}

async function checkForward(world: World, graph: Graph): Promise<void> {
  const { shape, y, twins, training } = graph;
  const wanted = await joined(shape, twins, (twin) => twin.y.data());
  const expected = world.sabotage?.('y', wanted, shape) ?? wanted;
  const what = training ? 'y' : 'y in evaluation';
  if (world.isExact) {
    checkBits('bits', what, await y.data(), expected);
    return;
  }
  const got = await y.data();
  checkComparison('value', what, () => expectWithin('WebGPU against f64', 'output', got, expected, what));
  const [state, twinState] = [await stateOf(world.net.module), await stateOf(world.twin.module)];
  for (const [name, values] of twinState) {
    if (!/running_(mean|var)$/.test(name)) continue;
    // A mean near 0 is a sum of terms that are not: the largest of a batch is a fair scale for all.
    const terms = Array.from(values, () => Math.max(...wanted.map(Math.abs), 1));
    const label = `${name} after a forward`;
    const compare = (): void =>
      expectWithin('WebGPU against f64', 'running', state.get(name) ?? [], values, label, { terms });
    checkComparison('value', label, compare);
  }
  await world.adoptState();
}

/** A donated input may be written over by the first layer, so nothing else may need it. */
function canDonate({ program }: World): boolean {
  return program.model[0]?.kind === 'norm';
}

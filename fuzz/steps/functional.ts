/** The steps of `functional` on any cut of a batch, in any order of merging, against the layer on one device. */

import { BatchNorm1d, devices, functional, PartialError, tensor, type Tensor } from 'syncbn';
import { randomArray } from '../../tests/support/random.ts';
import { valuesOf } from '../batches.ts';
import { disposeModel } from '../model.ts';
import { checkBits, checkOutcome, errorOf, failure, perhaps } from '../outcome.ts';
import type { FunctionalStep } from '../program.ts';
import { cutsOf, elementsOf, type Part, put, take } from '../shards.ts';
import type { World } from '../world.ts';

interface Shard {
  readonly part: Part;
  readonly x: Tensor;
  readonly dy: Tensor;
  readonly firstSample: number;
}

export async function functionalSteps(world: World, step: FunctionalStep): Promise<void> {
  const names = step.places.map((place) => world.nameAt(place));
  const places = names.length === 0 ? [world.first] : names;
  const isMixed = new Set(places.map((name) => name.startsWith('webgpu:'))).size > 1;
  if (isMixed || places.some((name) => world.lost.has(name))) return;
  const { samples, rest, values, seed } = step.batch;
  const shape = [samples, step.channels, ...(world.program.rank > 2 ? [rest[0] ?? 1] : [])];
  const count = elementsOf(shape);
  if (count <= step.channels) return;
  const [x, dy] = [valuesOf(count, values, seed), randomArray(seed + 1, count)];
  const parts = cutsOf(shape, step.cuts);
  const made: Tensor[] = [];
  let firstSample = 0;
  const shards = parts.map((part, i): Shard => {
    const options = { device: places[i % places.length] ?? world.first, memoryFormat: formatOf(step, shape) };
    const shard = {
      part,
      x: tensor(take(x, part), part.shape, options),
      dy: tensor(take(dy, part), part.shape, options),
      firstSample,
    };
    firstSample += part.shape[0] ?? 0;
    made.push(shard.x, shard.dy);
    return shard;
  });
  try {
    await Promise.all(places.map((name) => devices.get(name).ready()));
    await compare(world, step, shards, { shape, x, dy }, made);
  } finally {
    made.forEach((item) => item.dispose());
  }
}

interface Whole {
  readonly shape: readonly number[];
  readonly x: Float32Array;
  readonly dy: Float32Array;
}

async function compare(
  world: World,
  step: FunctionalStep,
  shards: readonly Shard[],
  { shape, x, dy }: Whole,
  made: Tensor[],
): Promise<void> {
  const { numerics, mergedFirst } = step;
  const home = shards[0]?.x.device ?? world.first;
  // One device's bits are those of its kind. A GPU besides the program's may have ended in an earlier program.
  const one = home.startsWith('webgpu:') ? home : 'cpu:63';
  await devices.get(one).ready();
  const norm = new BatchNorm1d(step.channels, { numerics, device: one });
  const whole = tensor(x, shape, { device: one, requiresGrad: true, memoryFormat: formatOf(step, shape) });
  const gradient = tensor(dy, shape, { device: one });
  made.push(whole, gradient);
  const target = await norm.forward(whole);
  made.push(target);
  await target.backward(gradient);

  const merge = (partials: readonly Uint8Array[]): Promise<Uint8Array> =>
    mergeInGroups(partials, mergedFirst, (some) => functional.mergeMoments(some, home));
  const first = await momentsOf(shards, numerics, merge);
  await checkDamaged(step, first.partials, home);
  const { merged } = first;
  const statistics: Tensor[] = [];
  const y = new Float32Array(x.length);
  for (const shard of shards) {
    const own = await functional.finalize(merged, shard.x);
    statistics.push(own);
    const result = await functional.normalize(shard.x, own, { numerics });
    made.push(own, result);
    put(y, shard.part, await result.data());
  }
  checkBits('bits', 'y of functional steps', y, await target.data());

  const mean = tensor(new Float32Array(step.channels), [step.channels], { device: home });
  const variance = tensor(new Float32Array(step.channels).fill(1), [step.channels], { device: home });
  made.push(mean, variance);
  await functional.updateRunning(merged, mean, variance);
  checkBits('bits', 'running mean of functional steps', await mean.data(), await norm.runningMean?.data());
  checkBits('bits', 'running variance of functional steps', await variance.data(), await norm.runningVar?.data());

  const partials = await Promise.all(
    shards.map(({ x: own, dy: ownDy, firstSample }, r) =>
      functional.backwardReduce(ownDy, own, itemAt(statistics, r), { firstSample }),
    ),
  );
  const sums = await mergeInGroups(partials, mergedFirst, (some) => functional.mergeSums(some, home));
  const parameters = await functional.backwardParameters(sums, itemAt(statistics, 0));
  made.push(parameters.dweight, parameters.dbias);
  checkBits('bits', 'dweight of functional steps', await parameters.dweight.data(), await norm.weight?.grad?.data());
  checkBits('bits', 'dbias of functional steps', await parameters.dbias.data(), await norm.bias?.grad?.data());
  const dx = new Float32Array(x.length);
  for (const [r, shard] of shards.entries()) {
    const part = await functional.backwardInput(shard.dy, shard.x, itemAt(statistics, r), { sums });
    made.push(part);
    put(dx, shard.part, await part.data());
  }
  checkBits('bits', 'dx of functional steps', dx, await whole.grad?.data());
  disposeModel(norm);
}

/** The merged partials of a batch, of the first round where there are two. */
async function momentsOf(
  shards: readonly Shard[],
  numerics: FunctionalStep['numerics'],
  merge: (partials: readonly Uint8Array[]) => Promise<Uint8Array>,
): Promise<{ readonly partials: readonly Uint8Array[]; readonly merged: Uint8Array }> {
  if (numerics === 'stable') {
    const partials = await Promise.all(shards.map(({ x, firstSample }) => functional.moments(x, { firstSample })));
    return { partials, merged: await merge(partials) };
  }
  const partials = await Promise.all(shards.map(({ x, firstSample }) => functional.total(x, { firstSample })));
  const total = await merge(partials);
  const rounds = await Promise.all(
    shards.map(({ x, firstSample }) => functional.deviations(x, total, { firstSample })),
  );
  return { partials, merged: await merge(rounds) };
}

/** Those before a number first, then the others, then both. */
async function mergeInGroups(
  partials: readonly Uint8Array[],
  before: number,
  merge: (partials: readonly Uint8Array[]) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const cut = before % partials.length;
  if (cut === 0) return merge(partials);
  return merge([await merge(partials.slice(0, cut)), await merge(partials.slice(cut))]);
}

/** A damaged partial is refused or is another partial; the device lives on. */
async function checkDamaged(step: FunctionalStep, partials: readonly Uint8Array[], device: string): Promise<void> {
  const [first, ...others] = partials;
  if (step.damage < 0 || first === undefined || first.length === 0) return;
  const damaged = first.slice();
  const at = step.damage % (8 * damaged.length);
  damaged[at >> 3] = (damaged[at >> 3] ?? 0) ^ (1 << (at & 7));
  const error = await errorOf(() => functional.mergeMoments([damaged, ...others], device));
  checkOutcome('merge of a damaged partial', error, perhaps(PartialError));
  const short = await errorOf(() => functional.mergeMoments([damaged.subarray(0, step.damage % 8)], device));
  checkOutcome('merge of a cut partial', short, failure(PartialError));
}

function formatOf({ batch }: FunctionalStep, shape: readonly number[]): FunctionalStep['batch']['format'] {
  return shape.length > 2 ? batch.format : 'contiguous';
}

function itemAt<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`expected an item at ${index} of ${items.length}`);
  return item;
}

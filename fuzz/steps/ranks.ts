/** A model of its own that the ranks of a process group train, each with its part of every batch, against one process. */

import { convertModel, devices, tensor, type Tensor } from 'syncbn';
import { createLocalGroups, DistributedDataParallel, PeerFailedError, type ProcessGroup } from 'syncbn/distributed';
import { portsGroups } from '../../tests/distributed/ports_groups.ts';
import { randomArray } from '../../tests/support/random.ts';
import { valuesOf } from '../batches.ts';
import { disposeModel, isRace, normsOf, randomizeState, Staged, stateOf } from '../model.ts';
import { checkBits, checkOutcome, errorOf, failure, success } from '../outcome.ts';
import type { BatchSpec, RanksStep } from '../program.ts';
import { cutsOf, elementsOf, type Part, put, take } from '../shards.ts';
import type { World } from '../world.ts';

/** How parameters move. */
const LEARNING_RATE = 0.1;

/** What a rank throws that is told to. */
class OwnError extends Error {}

/** One process's place in the training: a rank, or the process that all are compared with. */
interface Place {
  readonly model: Staged;
  readonly net: Staged | DistributedDataParallel<Staged>;
  readonly device: string;
  /** `null`: it is alone. */
  readonly group: ProcessGroup | null;
}

export async function ranks(world: World, step: RanksStep): Promise<void> {
  const { model, batches, cuts, way, fault } = step;
  const names = Array.from({ length: cuts.length + 1 }, (_, rank) => world.nameAt(rank));
  // Ranks of a model without layers that synchronize exchange nothing.
  if (model.flatMap(normsOf).length === 0) return;
  // The merged bits of GPUs are their own.
  if (names.some((name) => name.startsWith('webgpu:') || world.lost.has(name)) || model.some(isRace)) return;
  await devices.get('cpu:63').ready();
  const groups =
    way === 'local' ? await createLocalGroups(names.length) : (await portsGroups(names.length, way)).groups;
  const alone = newPlace(world, step, 'cpu:63', null);
  const places = groups.map((group, rank) => newPlace(world, step, names[rank] ?? world.first, group));
  try {
    for (const [rank, { model: own }] of [alone, ...places].entries()) {
      // The wrapper gives all ranks the state of the first.
      await randomizeState(own, rank < 2 ? 1 : rank);
    }
    for (const [i, batch] of batches.entries()) {
      const failing = fault?.step === i ? fault.rank % groups.length : null;
      if (!(await train(world, alone, places, batch, cuts, failing))) return;
    }
  } finally {
    await Promise.all(groups.map((group) => group.destroy()));
    for (const { model: own, net } of [alone, ...places]) {
      if (net instanceof DistributedDataParallel) net.release();
      disposeModel(own);
    }
  }
}

function newPlace(world: World, { model: stages }: RanksStep, device: string, group: ProcessGroup | null): Place {
  const { rank, channels } = world.program;
  const model = new Staged(stages, { rank, channels, synchronized: false, device });
  if (group === null) return { model, net: model, device, group };
  const net = convertModel(model, { processGroup: group });
  const wrapped = new DistributedDataParallel(net, { processGroup: group, reduction: 'sum', broadcastBuffers: false });
  return { model: net, net: wrapped, device, group };
}

/** One step of all. @returns whether the ranks can go on. */
async function train(
  world: World,
  alone: Place,
  places: readonly Place[],
  batch: BatchSpec,
  cuts: readonly number[],
  failing: number | null,
): Promise<boolean> {
  const shape = world.shapeOf(batch.samples, batch.rest);
  const count = elementsOf(shape);
  // A batch of one value per channel is refused: other steps try that.
  if (count <= world.program.channels) return true;
  const values = { x: valuesOf(count, batch.values, batch.seed), dy: randomArray(batch.seed + 1, count) };
  const parts = cutsOf(shape, cuts);
  const before = await stateOf(alone.model);
  if (failing !== null) {
    await Promise.all(places.flatMap(({ net }) => (net instanceof DistributedDataParallel ? [net.ready()] : [])));
  }
  const passes = places.map(async (place, rank): Promise<Pass | null> => {
    let pass: Pass | null = null;
    const error = await errorOf(async () => {
      if (rank === failing) {
        place.group?.abort(new OwnError('mine'));
        throw new OwnError('mine');
      }
      pass = await passOf(place, itemAt(parts, rank), values, batch);
    });
    checkOutcome(
      'step of a rank',
      error,
      failing === null ? success : failure(rank === failing ? OwnError : PeerFailedError),
    );
    return pass;
  });
  const found = (await allOf(passes)).filter((pass) => pass !== null);
  if (failing === null) {
    const whole = await passOf(alone, itemAt(cutsOf(shape, []), 0), values, batch);
    for (const name of ['y', 'dx'] as const) {
      const together = new Float32Array(count);
      found.forEach((pass) => put(together, pass.part, pass[name]));
      checkBits('bits', `${name} of ranks`, together, whole[name]);
    }
  }
  const expected = failing === null ? await stateOf(alone.model) : before;
  for (const { model } of places) {
    const state = await stateOf(model);
    for (const [name, wanted] of expected) checkBits('state', `${name} of a rank`, state.get(name), wanted);
  }
  return failing === null;
}

interface Pass {
  readonly part: Part;
  readonly y: Float32Array;
  readonly dx: Float32Array;
}

/** Forward, backward and an update of the parameters. */
async function passOf(
  { net, model, device }: Place,
  part: Part,
  values: { readonly x: Float32Array; readonly dy: Float32Array },
  { format }: BatchSpec,
): Promise<Pass> {
  const made: Tensor[] = [];
  const keep = (item: Tensor): Tensor => {
    made.push(item);
    return item;
  };
  try {
    const memoryFormat = part.shape.length > 2 ? format : 'contiguous';
    const x = keep(tensor(take(values.x, part), part.shape, { device, requiresGrad: true, memoryFormat }));
    const dy = keep(tensor(take(values.dy, part), part.shape, { device }));
    const y = keep(await net.forward(x));
    await y.backward(dy);
    for (const parameter of model.parameters()) {
      const gradient = await parameter.grad?.data();
      if (gradient === undefined) continue;
      const next = await parameter.data();
      await parameter.copy_(next.map((value, i) => value - LEARNING_RATE * (gradient[i] ?? Number.NaN)));
    }
    return { part, y: await y.data(), dx: (await x.grad?.data()) ?? new Float32Array() };
  } finally {
    made.forEach((item) => item.dispose());
  }
}

/** The results of all, once nobody computes any more; what the first that failed has thrown. */
async function allOf<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

function itemAt<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`expected an item at ${index} of ${items.length}`);
  return item;
}

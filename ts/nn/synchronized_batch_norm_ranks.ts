/**
 * How the ranks of a process group make one batch. The replicas of a rank merge their partials first; one message per rank travels, and
 * the same merge runs again over what has come.
 *
 * A message tells the shapes of the rank's shards and brings its partial, which depends on how many samples the lower ranks have. So a
 * rank predicts that all shapes are those of the call before. Where that holds on every rank, one exchange is enough. Where it does not,
 * all ranks see so from the same messages, and a second exchange brings partials that fit.
 */

import type { Device } from '../device/device.ts';
import { mergePartials } from '../device/registry.ts';
import { CollectiveMismatchError } from '../errors.ts';
import type { ProcessGroup } from '../sync/process_group.ts';
import { nextInOrder } from '../tensor/graph_node.ts';
import { formatShape } from '../tensor/shape.ts';
import { uint8ArrayOf } from '../typed_array.ts';
import type { ModuleInterface } from './module_interface.ts';
import { type FirstMerge, joinGroup } from './synchronized_batch_norm_group.ts';
import { checkPartial, type PartialKind, rangeOf } from './partial_header.ts';
import {
  type Announcement,
  type BatchPlan,
  checkAgreement,
  planBatch,
  type RankedCall,
  type RankPlan,
  type SampleRange,
} from './synchronized_batch_norm_shards.ts';

/**
 * The plan of the whole batch: as predicted, or as the ranks have told each other.
 * @param original - the layer that the replicas were copied from.
 * @param own - of the replicas of this rank.
 * @throws RangeError when the replicas of this rank disagree; CollectiveMismatchError when the ranks do; what `allGather` throws.
 */
export async function planAcrossRanks(
  original: ModuleInterface,
  group: ProcessGroup,
  devices: readonly Device[],
  own: readonly Announcement[],
): Promise<BatchPlan> {
  checkAgreement(own);
  const layer = joinGroup(original, group);
  const tag = `synchronized layer ${layer.number}, call ${layer.calls}`;
  layer.calls += 1;
  // Not when the plan is known, for that takes as long as an exchange on some ranks: all must pass through their layers in one order.
  const sequence = nextInOrder();
  const call: RankedCall = { group, tag, own, sequence, merging: mergingOf(devices), layer };
  const { lastShapes } = layer;
  const [first] = own;
  const isPredictable = JSON.stringify(lastShapes?.[group.rank]) === JSON.stringify(own.map(({ shape }) => shape));
  if (first !== undefined && lastShapes !== null && isPredictable) {
    return planFor(
      call,
      lastShapes.map((shapes) => shapes.map((shape) => ({ ...first, shape }))),
      true,
      true,
    );
  }
  return planFrom(call, await exchange(call, FIRST, messageOf(call, null, null)));
}

/**
 * Merges the partials that come first in a call: over the replicas of this rank, and then over all ranks.
 * @throws CollectiveMismatchError, PartialError, what `allGather` throws.
 */
export async function mergeFirstAcrossRanks(
  devices: readonly Device[],
  partials: readonly Uint8Array[],
  plan: BatchPlan,
  kind: PartialKind,
): Promise<FirstMerge> {
  const own = await mergePartials(devices, partials);
  const ranks = ranksIn(plan);
  const { call } = ranks;
  const messages = await exchange(call, ranks.isPredicted ? FIRST : SECOND, messageOf(call, plan, own));
  const actual = planFrom(call, messages);
  const isFitting = messages.every(
    ({ start, isRagged, partial }, rank) =>
      partial.length > 0 && start === actual.ranks?.ranges[rank]?.first && isRagged === actual.isRagged,
  );
  if (isFitting) {
    call.layer.lastShapes = actual.count > 1 ? messages.map(({ shards }) => shards.map(({ shape }) => shape)) : null;
    return {
      merged: await mergeAll(
        devices,
        messages.map(({ partial }) => partial),
        actual,
        kind,
      ),
    };
  }
  if (!ranks.isPredicted) {
    throw new CollectiveMismatchError(0, call.tag, 'partials of the batch that was agreed upon', 'others');
  }
  return { replanned: { ...actual, sequence: plan.sequence } };
}

/**
 * Merges partials whose plan is known to all, as {@link mergeFirstAcrossRanks} does.
 * @param step - names the exchange within the call.
 */
export async function mergeAgainAcrossRanks(
  devices: readonly Device[],
  partials: readonly Uint8Array[],
  plan: BatchPlan,
  kind: PartialKind,
  step: string,
): Promise<Uint8Array> {
  const own = await mergePartials(devices, partials);
  return mergeAll(devices, await gather(ranksIn(plan).call, step, own), plan, kind);
}

function ranksIn({ ranks }: BatchPlan): RankPlan {
  if (ranks === null) {
    throw new RangeError('synchronized_batch_norm: expected a batch that ranks share');
  }
  return ranks;
}

const FIRST = 'forward';
const SECOND = 'forward, again with other shapes';

/** What one rank tells the others. */
interface Message {
  readonly shards: readonly Announcement[];
  readonly merging: string;
  /** What its partial was computed for: the first sample, and whether rows count as samples. */
  readonly start: number | null;
  readonly isRagged: boolean;
  /** Empty where the rank did not know its first sample. */
  readonly partial: Uint8Array;
}

/** What stands before the partial, as JSON: the message without it. */
type Header = Omit<Message, 'partial'>;

const LENGTH_BYTES = 4;

function messageOf(
  { own, merging, group }: RankedCall,
  plan: BatchPlan | null,
  partial: Uint8Array | null,
): Uint8Array {
  // What to do about one value per channel is for each rank to say.
  const shards = own.map((announcement) => ({ ...announcement, otherwise: '' }));
  const start = plan?.ranks?.ranges[group.rank]?.first ?? null;
  const header: Header = { shards, merging, start, isRagged: plan?.isRagged ?? false };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const message = new Uint8Array(LENGTH_BYTES + text.length + (partial?.length ?? 0));
  new DataView(message.buffer).setUint32(0, text.length, true);
  message.set(text, LENGTH_BYTES);
  message.set(partial ?? [], LENGTH_BYTES + text.length);
  return message;
}

async function exchange(call: RankedCall, step: string, message: Uint8Array): Promise<Message[]> {
  const gathered = await gather(call, step, message);
  return gathered.map((bytes, rank) => {
    try {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const end = LENGTH_BYTES + view.getUint32(0, true);
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, end))) as Header;
      // Reading the shapes finds out what is no header.
      header.shards.forEach(({ shape }) => formatShape(shape));
      return { ...header, partial: bytes.subarray(end) };
    } catch (cause) {
      throw new CollectiveMismatchError(rank, call.tag, 'a message of this layer', 'other bytes', { cause });
    }
  });
}

async function gather({ group, tag }: RankedCall, step: string, bytes: Uint8Array): Promise<Uint8Array[]> {
  const gathered: unknown = await group.allGather(bytes, `${tag}, ${step}`);
  const list = Array.isArray(gathered) ? Array.from(gathered, uint8ArrayOf) : [];
  const arrays = list.filter((item) => item !== null);
  if (arrays.length !== group.size) {
    throw new TypeError(
      `processGroup: expected allGather() to give ${group.size} Uint8Arrays, one of each rank, got ${arrays.length}`,
    );
  }
  return arrays;
}

/** @throws CollectiveMismatchError unless all ranks are about to compute the same. */
function planFrom(call: RankedCall, messages: readonly Message[]): BatchPlan {
  const described = messages.map(({ shards: [first] }) => first && describe(first));
  const other = described.findIndex((text) => text !== described[call.group.rank]);
  if (other >= 0) {
    throw new CollectiveMismatchError(
      other,
      call.tag,
      `${described[call.group.rank] ?? 'a shard'}, as rank ${call.group.rank} has`,
      described[other] ?? 'no shard',
    );
  }
  const otherwise = call.own[0]?.otherwise ?? '';
  const shards = messages.map((message) => message.shards.map((shard) => ({ ...shard, otherwise })));
  const isAlike = messages.every(({ merging }) => merging === call.merging);
  return planFor(call, shards, false, isAlike);
}

/** What the ranks must have in common. */
function describe({ shape, numerics, eps, epsMode, wantsGradient }: Announcement): string {
  const recorded = wantsGradient ? 'recorded for gradients' : 'not recorded for gradients';
  return `${shape[1] ?? 0} channels, numerics '${numerics}', eps ${eps}, epsMode '${epsMode}', ${recorded}`;
}

/** @param shards - of all replicas, rank by rank. */
function planFor(
  call: RankedCall,
  shards: readonly (readonly Announcement[])[],
  isPredicted: boolean,
  mergesOnDevices: boolean,
): BatchPlan {
  const plan = planBatch(shards.flat());
  const starts = shards.map((_, rank) => shards.slice(0, rank).flat().length);
  const firstOf = (rank: number): number => plan.firstSamples[starts[rank] ?? Infinity] ?? plan.samples;
  const ranges = shards.map((_, rank) => ({ first: firstOf(rank), samples: firstOf(rank + 1) - firstOf(rank) }));
  const start = starts[call.group.rank] ?? 0;
  const firstSamples = plan.firstSamples.slice(start, start + call.own.length);
  return { ...plan, firstSamples, sequence: call.sequence, ranks: { call, ranges, isPredicted, mergesOnDevices } };
}

const CORE = 'core';

/** The arithmetic that merges the partials of these devices: that of a GPU, or core's in f64. */
function mergingOf([first, ...others]: readonly Device[]): string {
  const isGpu = first?.kind === 'webgpu' && others.every(({ kind }) => kind === 'webgpu');
  return isGpu ? `webgpu ${first.details().adapter}` : CORE;
}

/** @throws CollectiveMismatchError or PartialError unless each rank has sent the partial of its samples. */
async function mergeAll(
  devices: readonly Device[],
  partials: readonly Uint8Array[],
  plan: BatchPlan,
  kind: PartialKind,
): Promise<Uint8Array> {
  const { call, ranges, mergesOnDevices } = ranksIn(plan);
  const channels = call.own[0]?.shape[1] ?? 0;
  const isCore = mergesOnDevices && call.merging === CORE;
  for (const [rank, partial] of partials.entries()) {
    const bytes = checkPartial(partial, { where: `process group, ${call.tag}, rank ${rank}`, kinds: [kind], channels });
    // What a GPU has merged are several partials end to end.
    const given = rangeOf(isCore ? bytes : await mergePartials([], [bytes]));
    const wanted = ranges[rank] ?? { first: 0, samples: 0 };
    const isFirst = given.samples === 0 || given.first === wanted.first;
    if (given.samples !== wanted.samples || !isFirst) {
      throw new CollectiveMismatchError(rank, call.tag, `a partial of ${show(wanted)}`, show(given));
    }
  }
  return mergePartials(mergesOnDevices ? devices : [], partials);
}

function show({ first, samples }: SampleRange): string {
  return samples === 0 ? 'no samples' : `samples ${first} to ${first + samples - 1}`;
}

/**
 * The backward pass of all replicas of a synchronized layer: one node of the graph with the inputs and outputs of all, so
 * that it runs once, when every gradient is there, and has nobody to wait for.
 */

import { withRoom } from '../device/awaited.ts';
import type { BatchLayout, Device, DeviceGroup, GroupBackwardArguments } from '../device/device.ts';
import { finishBackward } from '../device/joint_pass.ts';
import { type Gradients, GraphNode, type GraphNodeOptions } from '../tensor/graph_node.ts';
import type { Shape } from '../tensor/shape.ts';
import { Storage } from '../tensor/storage.ts';
import { filled } from '../tensor/storage_ops.ts';
import { Tensor } from '../tensor/tensor.ts';
import { mergeAgain } from './synchronized_batch_norm_group.ts';
import { type BatchPlan, groupOf, reducible, shardLayout } from './synchronized_batch_norm_shards.ts';

/** One replica's part of the forward pass. */
export interface Shard {
  /** The place of the replica's call in the order of nodes. */
  readonly sequence: number;
  readonly x: Tensor;
  /** Memory of x, held by the node. */
  readonly storage: Storage;
  readonly shape: Shape;
  readonly layout: BatchLayout;
  /** Its global number. */
  readonly firstSample: number;
  /** Of the whole batch, on this replica's device. */
  readonly statistics: Storage;
  /** The replica's copy. */
  readonly weight: Storage | null;
  /** Eps, where the variance was max(var, eps); `null` where it was var + eps. */
  readonly clampEps: number | null;
  /** Whether the replica's operations are recorded. */
  readonly isRecorded: boolean;
}

/**
 * Records the layer call of all replicas. Inputs: x of every replica, the weight, the bias; outputs: y of every replica.
 *
 * @param weight - the original, which gets its gradient once.
 * @returns the node with one reference for each replica; `null` when no input wants a gradient.
 */
export function recordJointly(
  shards: readonly Shard[],
  weight: Tensor | null,
  bias: Tensor | null,
  plan: BatchPlan,
): GraphNode<Tensor> | null {
  const isRecorded = shards.some((shard) => shard.isRecorded);
  const vectors = isRecorded ? [weight, bias] : [null, null];
  const inputs = [...shards.map((shard) => (shard.isRecorded ? shard.x : null)), ...vectors];
  const wants = inputs.map((input) => input?.requiresGrad === true);
  if (!wants.includes(true)) {
    return null;
  }
  const saved: Storage[] = [];
  for (const shard of shards) {
    saved.push(shard.storage, shard.statistics);
    if (shard.weight !== null) {
      saved.push(shard.weight);
    }
  }
  const joint: Joint = {
    shards,
    plan,
    wantsInput: wants.slice(0, shards.length),
    wantsWeight: wants[shards.length] === true,
    wantsBias: wants[shards.length + 1] === true,
  };
  const backward: GraphNodeOptions<Tensor>['backward'] = (gradients, groups) => runJointly(joint, gradients, groups);
  // Every replica's input comes before this node, and what the replica has done with the input meanwhile after its call.
  const orders = shards.map((shard) => shard.sequence);
  const [first = plan.sequence] = orders;
  orders.push(first, first);
  const { sequence } = plan;
  const node = new GraphNode({ name: 'synchronized_batch_norm', inputs, saved, sequence, orders, backward });
  shards.forEach(() => node.retain());
  return node;
}

interface Joint {
  readonly shards: readonly Shard[];
  readonly plan: BatchPlan;
  readonly wantsInput: readonly boolean[];
  readonly wantsWeight: boolean;
  readonly wantsBias: boolean;
}

/** One replica's part of the backward pass. */
interface Part {
  readonly shard: Shard;
  /** The gradient in the memory format of x: a reference to release. */
  readonly dy: Storage;
  /** Whether nobody else needs dy, so that dx may be written over it. */
  readonly isOwn: boolean;
}

function runJointly(
  joint: Joint,
  gradients: Gradients<Tensor>,
  groups: Set<DeviceGroup>,
): Gradients<Tensor> | Promise<Gradients<Tensor>> {
  const { shards, plan } = joint;
  const devices = shards.map(({ statistics }) => statistics.device);
  const group = groupOf(devices, plan);
  if (group === null) {
    return runInSteps(joint, gradients, devices);
  }
  groups.add(group);
  // All of it once more where there is no room. Nothing is awaited: each promise takes as long as a step of a small layer.
  return withRoom(() => {
    const parts: Part[] = [];
    try {
      shards.forEach((shard, r) => parts.push(partOf(shard, gradients[r] ?? null)));
      return gradientsIn(parts, allocate(joint, parts), (shares) => group.batchNormBackward(shares));
    } finally {
      parts.forEach(({ dy }) => dy.release());
    }
  });
}

/** The same for devices that do not work among themselves. */
async function runInSteps(
  joint: Joint,
  gradients: Gradients<Tensor>,
  devices: readonly Device[],
): Promise<Gradients<Tensor>> {
  const { shards, plan } = joint;
  const parts: Part[] = [];
  try {
    for (const [r, shard] of shards.entries()) {
      parts.push(await withRoom(() => partOf(shard, gradients[r] ?? null)));
    }
    const partials = await Promise.allSettled(parts.map((part) => partialOf(part, plan)));
    const sums = await mergeAgain(devices, partials.map(valueOf), plan, 'sums', 'backward');
    const outputs = await withRoom(() => allocate(joint, parts));
    return gradientsIn(parts, outputs, (shares) =>
      shares.forEach((share) => finishBackward(share)(sums).forEach((command) => share.x.device.run(command))),
    );
  } catch (error) {
    plan.ranks?.call.group.abort?.(error);
    throw error;
  } finally {
    parts.forEach(({ dy }) => dy.release());
  }
}

function partOf(shard: Shard, gradient: Tensor | null): Part {
  const { device, length } = shard.storage;
  if (gradient === null) {
    const dy = filled(device, length, (target) => device.run({ operation: 'fill', target, value: 0 }));
    return { shard, dy, isOwn: true };
  }
  if (gradient.memoryFormat !== shard.layout.format) {
    return { shard, dy: gradient.inFormat(shard.layout.format), isOwn: true };
  }
  const isOwn = gradient.isOverwritable;
  return { shard, dy: gradient.storage.retain(), isOwn };
}

/** Partial sums of one replica, on its device. */
async function partialOf({ shard, dy }: Part, plan: BatchPlan): Promise<Uint8Array> {
  const x = reducible(shard.storage, shard.layout, plan);
  try {
    const arranged = reducible(dy, shard.layout, plan);
    try {
      return await shard.storage.device.reduce({
        operation: 'backwardReduce',
        x: x.storage.buffer,
        dy: arranged.storage.buffer,
        layout: x.layout,
        firstSample: shard.firstSample,
        statistics: shard.statistics.buffer,
      });
    } finally {
      arranged.storage.release();
    }
  } finally {
    x.storage.release();
  }
}

/** Memory for the gradients that are wanted. */
interface Outputs {
  readonly dweight: Storage | null;
  readonly dbias: Storage | null;
  readonly dxs: readonly (Storage | null)[];
  /** All of them. */
  readonly made: readonly Storage[];
}

/** Parameter gradients on the first device, dx on every one. */
function allocate(joint: Joint, parts: readonly Part[]): Outputs {
  const made: Storage[] = [];
  const make = (isWanted: boolean, storage: () => Storage): Storage | null => {
    if (!isWanted) {
      return null;
    }
    const reference = storage();
    made.push(reference);
    return reference;
  };
  try {
    const device = firstDevice(parts);
    const channels = parts[0]?.shard.layout.channels ?? 0;
    const dweight = make(joint.wantsWeight, () => Storage.allocate(device, channels));
    const dbias = make(joint.wantsBias, () => Storage.allocate(device, channels));
    const dxs = parts.map(({ shard, dy, isOwn }, r) =>
      make(joint.wantsInput[r] === true, () =>
        isOwn ? dy.retain() : Storage.allocate(shard.storage.device, dy.length),
      ),
    );
    return { dweight, dbias, dxs, made };
  } catch (error) {
    made.forEach((storage) => storage.release());
    throw error;
  }
}

/** The gradients in memory that was allocated for them. @param compute - fills them. */
function gradientsIn(
  parts: readonly Part[],
  { dweight, dbias, dxs, made }: Outputs,
  compute: (shares: readonly GroupBackwardArguments[]) => void,
): Gradients<Tensor> {
  const channels = parts[0]?.shard.layout.channels ?? 0;
  try {
    compute(
      parts.map(({ shard, dy }, r) => ({
        x: shard.storage.buffer,
        dy: dy.buffer,
        dx: dxs[r]?.buffer ?? null,
        layout: shardLayout(shard.layout),
        firstSample: shard.firstSample,
        statistics: shard.statistics.buffer,
        weight: shard.weight?.buffer ?? null,
        clampEps: shard.clampEps,
        dweight: (r === 0 ? dweight?.buffer : null) ?? null,
        dbias: (r === 0 ? dbias?.buffer : null) ?? null,
      })),
    );
    const vector = (storage: Storage | null): Tensor | null =>
      storage && new Tensor({ storage, shape: [channels], memoryFormat: 'contiguous' });
    return [...parts.map(({ shard }, r) => inputGradient(shard, dxs[r] ?? null)), vector(dweight), vector(dbias)];
  } catch (error) {
    made.forEach((storage) => storage.release());
    throw error;
  }
}

function inputGradient({ shape, layout }: Shard, dx: Storage | null): Tensor | null {
  return dx && new Tensor({ storage: dx, shape, memoryFormat: layout.format });
}

/** Where the parameters are. */
function firstDevice(parts: readonly Part[]): Device {
  const [first] = parts;
  if (first === undefined) {
    throw new RangeError('synchronized_batch_norm: expected at least one replica, got none');
  }
  return first.shard.statistics.device;
}

/** All have ended before the first failure is thrown, so nothing is freed that a device still reads. */
function valueOf<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') {
    throw result.reason;
  }
  return result.value;
}

/**
 * Workers that share memory, as one group: the calling thread's side. A command is given to all of them in one tick, so that no two
 * of them see two commands in different orders, and each exchanges partials with the others by itself.
 *
 * A group ends when a member fails or is lost. Only the calling thread ends it, once it knows why: what the others then say is a
 * mere consequence.
 *
 * Few groups have memory for their exchange at one time. A further one takes it from the group that was used longest ago, which
 * gets other memory with its next command. Memory that all members have left is used again, since the garbage collectors of all
 * threads together would have to find it before it is freed.
 */

import type { BatchLayout, DeviceGroup, GroupBackwardArguments, GroupForwardArguments } from './device.ts';
import type { WorkerCommand } from './worker_commands.ts';
import { channelsAtATime, leafSamples } from './joint_pass.ts';
import { breakGroup, createGroupMemory, groupMemoryBytes, reuseGroupMemory } from './worker_exchange.ts';

/** What a group needs of its members. */
export interface Member {
  /** Why it can be given nothing more. */
  readonly lost: Error | null;
  /** Gives a command of the group, whose result nobody awaits. */
  give(group: WorkerGroup, command: GroupCommand): void;
  /** Leaves a group after all its commands. Resolves when the worker does not look at its memory any more. */
  leave(number: number): Promise<void>;
  /** Hears that a group has ended, and why. */
  forget(number: number, failure: Error): void;
  /** Resolves when all that was given is done. Not called `confirm`, which a device offers whose results are in doubt: a worker's are not. */
  whenDone(): Promise<void>;
}

/** What a group tells its members without awaiting an answer. */
export type GroupCommand = WorkerCommand<'join' | 'jointBatchNorm' | 'jointBatchNormBackward'>;

/** A partial that most layers stay below. Memory that nobody touches costs nothing. */
const SLOT_BYTES = 256 * 1024;
/** Of a partial's header, and of one channel in one of its nodes. */
const HEADER_BYTES = 40;
const NODE_BYTES = 16;

/** Groups that have memory at one time. A program that trains has one or two. */
const MOST_GROUPS = 4;

type GroupMemory = Uint8Array<SharedArrayBuffer>;

let groups = 0;
/** The groups that have memory, the one used last at the end. */
let withMemory: readonly WorkerGroup[] = [];
/** Memory that groups have left, the one left last at the end. */
let unused: readonly GroupMemory[] = [];

/** Where the members of a group exchange partials. */
interface Joined {
  /** What workers call the group: another number with other memory. */
  readonly number: number;
  readonly memory: GroupMemory;
  readonly slotBytes: number;
}

export class WorkerGroup implements DeviceGroup {
  readonly members: readonly Member[];
  #failure: Error | null = null;
  #joined: Joined | null = null;
  /** Memory by number, until all members have left it. */
  readonly #inUse = new Map<number, GroupMemory>();

  /** The group of these members, in this order; a new one, unless there is one that has memory. */
  static of(members: readonly Member[]): WorkerGroup {
    const isSame = (group: WorkerGroup): boolean =>
      group.members.length === members.length && group.members.every((member, i) => member === members[i]);
    return withMemory.find(isSame) ?? new WorkerGroup(members);
  }

  private constructor(members: readonly Member[]) {
    this.members = members;
  }

  /** Why the group has ended; `null` while it has not. */
  get failure(): Error | null {
    return this.#failure;
  }

  batchNorm(shares: readonly GroupForwardArguments[]): void {
    // Written out, as below: a spread of so many fields takes as long as giving the command.
    this.#giveAll(shares, 1, (share, group, width) => ({
      operation: 'jointBatchNorm',
      x: share.x,
      y: share.y,
      layout: share.layout,
      numerics: share.numerics,
      eps: share.eps,
      epsMode: share.epsMode,
      firstSample: share.firstSample,
      weight: share.weight,
      bias: share.bias,
      statistics: share.statistics,
      mean: share.mean,
      variance: share.variance,
      nextMean: share.nextMean,
      nextVariance: share.nextVariance,
      momentum: share.momentum,
      correction: share.correction,
      group,
      width,
    }));
  }

  batchNormBackward(shares: readonly GroupBackwardArguments[]): void {
    this.#giveAll(shares, 2, (share, group, width) => ({
      operation: 'jointBatchNormBackward',
      x: share.x,
      dy: share.dy,
      dx: share.dx,
      layout: share.layout,
      firstSample: share.firstSample,
      statistics: share.statistics,
      weight: share.weight,
      dweight: share.dweight,
      dbias: share.dbias,
      clampEps: share.clampEps,
      group,
      width,
    }));
  }

  async confirm(): Promise<void> {
    await Promise.all(this.members.map((member) => member.whenDone()));
    // What a member fails with comes before its answer.
    if (this.#failure !== null) {
      throw this.#failure;
    }
  }

  /** Ends the group, for this reason if it is the first. */
  end(failure: Error): void {
    if (this.#failure === null) {
      this.#failure = failure;
      withMemory = withMemory.filter((group) => group !== this);
      // Members may still wait for each other in memory that the group has given up.
      for (const [number, memory] of this.#inUse) {
        breakGroup(memory);
        this.members.forEach((member) => member.forget(number, failure));
      }
    }
  }

  /**
   * @param inputs - tensors that a partial is computed from.
   * @param commandOf - what a member is told: its share, the number of the group, how many channels it works on at a time.
   */
  #giveAll<Share extends { readonly layout: BatchLayout }>(
    shares: readonly Share[],
    inputs: number,
    commandOf: (share: Share, group: number, width: number) => GroupCommand,
  ): void {
    const failure = this.#failure ?? this.members.find(({ lost }) => lost !== null)?.lost;
    if (failure !== null && failure !== undefined) {
      throw failure;
    }
    try {
      const { width, slotBytes } = plan(
        shares.map(({ layout }) => layout),
        inputs,
      );
      const group = this.#reserve(slotBytes);
      shares.forEach((share, rank) => this.members[rank]?.give(this, commandOf(share, group, width)));
    } catch (error) {
      // Some of them may have got it, and wait for the others.
      this.end(error as Error);
      throw error;
    }
  }

  /**
   * Sees to it that partials of so many bytes have room.
   * @returns the number of the group.
   */
  #reserve(bytes: number): number {
    let joined = this.#joined;
    if (joined === null || bytes > joined.slotBytes) {
      this.#leave();
      joined = this.#join(Math.max(SLOT_BYTES, 2 ** Math.ceil(Math.log2(bytes))));
    }
    if (withMemory.at(-1) !== this) {
      withMemory = [...withMemory.filter((group) => group !== this), this];
      withMemory.slice(0, -MOST_GROUPS).forEach((group) => group.#leave());
    }
    return joined.number;
  }

  #join(slotBytes: number): Joined {
    const size = this.members.length;
    const memory = memoryOf(size, slotBytes);
    groups += 1;
    const joined = { number: groups, memory, slotBytes };
    this.#joined = joined;
    this.#inUse.set(joined.number, memory);
    for (const [rank, member] of this.members.entries()) {
      member.give(this, { operation: 'join', group: joined.number, memory, rank, size, slotBytes });
    }
    return joined;
  }

  /** Gives up the memory, which others may use once the members have done what they were given. */
  #leave(): void {
    const joined = this.#joined;
    withMemory = withMemory.filter((group) => group !== this);
    this.#joined = null;
    if (joined !== null) {
      void this.#whenLeft(joined.number).then((isLeft) => {
        unused = isLeft ? [...unused, joined.memory].slice(-MOST_GROUPS) : unused;
      });
    }
  }

  /** Whether nobody looks at the memory any more; of a member that is lost nobody knows. */
  async #whenLeft(number: number): Promise<boolean> {
    const left = await Promise.allSettled(this.members.map((member) => member.leave(number)));
    this.#inUse.delete(number);
    return left.every(({ status }) => status === 'fulfilled');
  }
}

/** Memory for a group: some that others have left, where there is enough. */
function memoryOf(members: number, slotBytes: number): GroupMemory {
  const bytes = groupMemoryBytes(members, slotBytes);
  const left = unused.find(({ buffer }) => buffer.byteLength >= bytes);
  unused = unused.filter((memory) => memory !== left);
  return left === undefined ? createGroupMemory(members, slotBytes) : reuseGroupMemory(left, members, slotBytes);
}

/** How many channels are worked on at a time, the same on all devices, and how long a partial of them can be. */
function plan(layouts: readonly BatchLayout[], inputs: number): { width: number; slotBytes: number } {
  const length = Math.max(...layouts.map((layout) => layout.length));
  const samples = Math.max(...layouts.map((layout) => layout.samples));
  const inLeaf = leafSamples(length);
  // Maximal subtrees of a range of leaves: two of each level at most.
  const nodes = 2 * (1 + Math.ceil(Math.log2(samples / inLeaf + 1)));
  // Raw values of both ends, where leaves may be cut.
  const edges = 2 * (inLeaf - 1) * length * inputs * Float32Array.BYTES_PER_ELEMENT;
  const bytesPerChannel = nodes * NODE_BYTES + edges;
  const wanted = channelsAtATime(layouts, inputs);
  const room = Math.floor((SLOT_BYTES - HEADER_BYTES) / bytesPerChannel);
  // Partials of rows are of all channels, however long they are.
  const width = inLeaf > 1 ? wanted : Math.max(1, Math.min(wanted, room));
  return { width, slotBytes: HEADER_BYTES + width * bytesPerChannel };
}

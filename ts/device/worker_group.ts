/**
 * Workers that share memory, as one group: the calling thread's side. A command is given to all of them in one tick, so that no two
 * of them see two commands in different orders, and each exchanges partials with the others by itself.
 *
 * A group ends when a member fails or is lost. Only the calling thread ends it, once it knows why: what the others then say is a
 * mere consequence.
 */

import type { BatchLayout, DeviceGroup, GroupBackwardArguments, GroupForwardArguments } from './device.ts';
import { breakGroup, createGroupMemory } from './worker_exchange.ts';
import type { Tiling } from './worker_joint.ts';
import type { GroupOperation } from './worker_protocol.ts';

/** What a group needs of its members. */
export interface Member {
  /** Why it can be given nothing more. */
  readonly lost: Error | null;
  /** Gives a command of the group, whose result nobody awaits. */
  give(group: WorkerGroup, operation: GroupOperation, args: readonly unknown[]): void;
  /** Hears that a group has ended, and why. */
  forget(number: number, failure: Error): void;
  /** Resolves when all that was given is done. */
  confirm(): Promise<void>;
}

/** The command of a group, as one member gets it. */
export interface GroupCommand<Share> {
  /** Number of the group; see `join`. */
  readonly group: number;
  readonly tiling: Tiling;
  readonly share: Share;
}

/** Adjacent values of a sample, of all inputs together, that a group of channels has at least: as in `tile.rs`. */
const RUN_VALUES = 64 * 1024;
/** A partial that most layers stay below. Memory that nobody touches costs nothing. */
const SLOT_BYTES = 256 * 1024;
/** Values of a channel in a leaf of the canonical tree, at least. */
const LEAF_VALUES = 32;
/** Of a partial's header, and of one channel in one of its nodes. */
const HEADER_BYTES = 40;
const NODE_BYTES = 16;

let groups = 0;

export class WorkerGroup implements DeviceGroup {
  readonly members: readonly Member[];
  #failure: Error | null = null;
  /** What workers call it: another number with other memory. */
  #number = 0;
  #memory: Uint8Array<SharedArrayBuffer> | null = null;
  #slotBytes = 0;

  constructor(members: readonly Member[]) {
    this.members = members;
  }

  /** Why the group has ended; `null` while it has not. */
  get failure(): Error | null {
    return this.#failure;
  }

  batchNorm(shares: readonly GroupForwardArguments[]): void {
    this.#giveAll('jointBatchNorm', shares, 1);
  }

  batchNormBackward(shares: readonly GroupBackwardArguments[]): void {
    this.#giveAll('jointBatchNormBackward', shares, 2);
  }

  async confirm(): Promise<void> {
    await Promise.all(this.members.map((member) => member.confirm()));
    // What a member fails with comes before its answer.
    if (this.#failure !== null) {
      throw this.#failure;
    }
  }

  /** Ends the group, for this reason if it is the first. */
  end(failure: Error): void {
    if (this.#failure === null) {
      this.#failure = failure;
      if (this.#memory !== null) {
        breakGroup(this.#memory);
        this.members.forEach((member) => member.forget(this.#number, failure));
      }
    }
  }

  /** @param inputs - tensors that a partial is computed from. */
  #giveAll(
    operation: GroupOperation,
    shares: readonly (GroupForwardArguments | GroupBackwardArguments)[],
    inputs: number,
  ): void {
    const failure = this.#failure ?? this.members.find(({ lost }) => lost !== null)?.lost;
    if (failure !== null && failure !== undefined) {
      throw failure;
    }
    try {
      const { tiling, slotBytes } = plan(
        shares.map(({ layout }) => layout),
        inputs,
      );
      this.#reserve(slotBytes);
      const group = this.#number;
      this.members.forEach((member, rank) => member.give(this, operation, [{ group, tiling, share: shares[rank] }]));
    } catch (error) {
      // Some of them may have got it, and wait for the others.
      this.end(error as Error);
      throw error;
    }
  }

  /** Sees to it that partials of so many bytes have room. */
  #reserve(bytes: number): void {
    if (bytes <= this.#slotBytes) {
      return;
    }
    const size = this.members.length;
    const slotBytes = Math.max(SLOT_BYTES, 2 ** Math.ceil(Math.log2(bytes)));
    const memory = createGroupMemory(size, slotBytes);
    groups += 1;
    for (const [rank, member] of this.members.entries()) {
      if (this.#memory !== null) {
        member.give(this, 'leave', [this.#number]);
      }
      member.give(this, 'join', [groups, rank, size, memory]);
    }
    [this.#number, this.#memory, this.#slotBytes] = [groups, memory, slotBytes];
  }
}

/** How the channels are grouped, the same way on all devices, and how long a partial of a group can be. */
function plan(layouts: readonly BatchLayout[], inputs: number): { tiling: Tiling; slotBytes: number } {
  const channels = layouts[0]?.channels ?? 0;
  const length = Math.max(...layouts.map((layout) => layout.length));
  const samples = Math.max(...layouts.map((layout) => layout.samples));
  const leafSamples = Math.max(1, 2 ** Math.ceil(Math.log2(LEAF_VALUES / length)));
  // Maximal subtrees of a range of leaves: two of each level at most.
  const nodes = 2 * (1 + Math.ceil(Math.log2(samples / leafSamples + 1)));
  // Raw values of both ends, where leaves may be cut.
  const edges = 2 * (leafSamples - 1) * length * inputs * Float32Array.BYTES_PER_ELEMENT;
  const bytesPerChannel = nodes * NODE_BYTES + edges;
  // Rows are laid together by the number of their channels, so their bits are those of all channels at once.
  const isRows = leafSamples > 1 || layouts.some(({ format, length }) => format === 'channels_last' && length > 1);
  const room = Math.floor((SLOT_BYTES - HEADER_BYTES) / bytesPerChannel);
  const width = isRows ? channels : Math.max(1, Math.min(channels, Math.ceil(RUN_VALUES / inputs / length), room));
  return { tiling: { channels, width }, slotBytes: HEADER_BYTES + width * bytesPerChannel };
}

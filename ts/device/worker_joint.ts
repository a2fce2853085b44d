/**
 * The passes that the workers of a group do together, on one worker: group of channels by group, so that a group is still cached
 * when it is read again. The bits are those of the steps, for they are the steps.
 */

import type { CpuDevice } from './cpu_device.ts';
import type { ChannelRange, GroupBackwardArguments, GroupForwardArguments } from './device.ts';
import type { Exchange } from './worker_exchange.ts';

const ALL: ChannelRange = [0, 0];
const NOTHING: Uint8Array = new Uint8Array(0);

/** Which groups of channels all members of the group work on, one after another. */
export interface Tiling {
  readonly channels: number;
  /** Channels of a group; the last may have fewer. */
  readonly width: number;
}

export async function batchNormJointly(
  device: CpuDevice,
  exchange: Exchange,
  tiling: Tiling,
  share: GroupForwardArguments,
): Promise<void> {
  const { running } = share;
  const layout = { ...share.layout, part: ALL };
  // What the steps are told, changed in place: copying it for each group of channels takes longer than the small steps.
  const args = { ...share, layout, part: ALL, merged: NOTHING };
  await inGroups(exchange, tiling, {
    reduce(part) {
      layout.part = part;
      return device.moments(args);
    },
    finish(part, merged) {
      layout.part = args.part = part;
      args.merged = merged;
      device.finalize(args);
      if (running !== null) {
        device.updateRunning({ merged, running, part });
      }
      device.normalize(args);
    },
  });
}

export async function batchNormBackwardJointly(
  device: CpuDevice,
  exchange: Exchange,
  tiling: Tiling,
  share: GroupBackwardArguments,
): Promise<void> {
  const { dx } = share;
  const layout = { ...share.layout, part: ALL };
  const args = { ...share, layout, part: ALL, sums: NOTHING };
  const toInput = dx && { ...args, dx };
  const wantsParameters = share.dweight !== null || share.dbias !== null;
  await inGroups(exchange, tiling, {
    reduce(part) {
      layout.part = part;
      return device.backwardReduce(args);
    },
    finish(part, sums) {
      layout.part = args.part = part;
      args.sums = sums;
      if (wantsParameters) {
        device.backwardParameters(args);
      }
      if (toInput !== null) {
        toInput.sums = sums;
        device.backwardInput(toInput);
      }
    },
  });
}

interface Pass {
  /** The partial of some channels of the own share. */
  readonly reduce: (part: ChannelRange) => Promise<Uint8Array>;
  /** What is done with the partials of all shares, laid end to end. */
  readonly finish: (part: ChannelRange, partials: Uint8Array) => void;
}

/** While the others are not ready with a group, the next one is reduced. */
async function inGroups(exchange: Exchange, { channels, width }: Tiling, { reduce, finish }: Pass): Promise<void> {
  const waiting: ChannelRange[] = [];
  const finishNext = (): void => {
    const part = waiting.shift();
    if (part !== undefined) {
      finish(part, exchange.take());
    }
  };
  for (let first = 0; first < channels; first += width) {
    const part: ChannelRange = [first, Math.min(first + width, channels)];
    exchange.post(await reduce(part));
    waiting.push(part);
    while (waiting.length === exchange.mostWaiting || (waiting.length > 0 && exchange.isThere)) {
      finishNext();
    }
  }
  while (waiting.length > 0) {
    finishNext();
  }
}

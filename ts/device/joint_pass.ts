/**
 * The steps of a pass that the devices of a group do together, on one of them and on some of the channels at a time. The bits are those
 * of the steps on all channels, for they are the steps.
 */

import type {
  BatchLayout,
  ChannelRange,
  Command,
  GroupBackwardArguments,
  GroupForwardArguments,
  Reduction,
} from './device.ts';

/** All channels, until some are set. */
const ALL = undefined as ChannelRange | undefined;
const NOTHING: Uint8Array = new Uint8Array(0);

/** Adjacent values of a sample, of all inputs together, that a range of channels has at least: as in `crates/core/src/layout/tile.rs`. */
export const RUN_VALUES = 64 * 1024;
/** Values of a channel in a leaf of the canonical tree, at least. */
const LEAF_VALUES = 32;

/** A device that computes at once. */
export interface PassDevice {
  /** Runs commands one after another; the bytes that they are given are the same. */
  runAll(commands: readonly Command[]): void;
  /** The bytes of a partial, which are there until the device is given something else to do. */
  reduceInPlace(reduction: Reduction): Uint8Array;
}

/** One device's part of a pass. */
export interface JointPass {
  /** The partial of some channels of the own share, which is there until the device is given something else to do. */
  readonly reduce: (part: ChannelRange) => Uint8Array;
  /** What is done with the partials of all shares, merged or laid end to end. */
  readonly finish: (partials: Uint8Array, part: ChannelRange) => void;
}

// Each step's command is made once and changed in place: a new one for each range of channels would take longer than the small steps.
// Its fields are named one by one: a spread takes as long as a small step.

export function forwardPass(device: PassDevice, share: GroupForwardArguments): JointPass {
  const layout = partOf(share.layout);
  const moments = { operation: 'moments' as const, x: share.x, layout, firstSample: share.firstSample };
  return {
    reduce(part) {
      layout.part = part;
      return device.reduceInPlace(moments);
    },
    finish: finishing(device, finishForward(share)),
  };
}

/** The last commands of a pass on one device, given what the partials of the whole batch merge to, or these partials laid end to end. */
type LastCommands = (merged: Uint8Array, part?: ChannelRange) => readonly Command[];

function finishing(device: PassDevice, lastCommands: LastCommands): JointPass['finish'] {
  return (partials, part) => device.runAll(lastCommands(partials, part));
}

/** What follows the moments of the whole batch on one device. */
export function finishForward(share: GroupForwardArguments): LastCommands {
  const { x, y, numerics, eps, epsMode, statistics, weight, bias } = share;
  const { mean, variance, nextMean, nextVariance } = share;
  const layout = partOf(share.layout);
  const finalize = { operation: 'finalize' as const, merged: NOTHING, eps, epsMode, statistics, part: ALL };
  const updateRunning = mean &&
    variance &&
    nextMean &&
    nextVariance && {
      operation: 'updateRunning' as const,
      merged: NOTHING,
      mean,
      variance,
      nextMean,
      nextVariance,
      momentum: share.momentum ?? 0,
      correction: share.correction ?? 1,
      part: ALL,
    };
  const normalize = { operation: 'normalize' as const, x, y, layout, numerics, statistics, weight, bias };
  const commands = updateRunning ? [finalize, updateRunning, normalize] : [finalize, normalize];
  return (merged, part) => {
    layout.part = finalize.part = part;
    finalize.merged = merged;
    if (updateRunning) {
      updateRunning.part = part;
      updateRunning.merged = merged;
    }
    return commands;
  };
}

export function backwardPass(device: PassDevice, share: GroupBackwardArguments): JointPass {
  const { x, dy, firstSample, statistics } = share;
  const layout = partOf(share.layout);
  const reduction = { operation: 'backwardReduce' as const, x, dy, layout, firstSample, statistics };
  return {
    reduce(part) {
      layout.part = part;
      return device.reduceInPlace(reduction);
    },
    finish: finishing(device, finishBackward(share)),
  };
}

/** What follows the sums of the whole batch on one device. */
export function finishBackward(share: GroupBackwardArguments): LastCommands {
  const { x, dy, dx, statistics, weight, dweight, dbias, clampEps } = share;
  const layout = partOf(share.layout);
  const toParameters =
    (dweight ?? dbias)
      ? { operation: 'backwardParameters' as const, sums: NOTHING, statistics, dweight, dbias, part: ALL }
      : null;
  const toInput = dx && {
    operation: 'backwardInput' as const,
    x,
    dy,
    dx,
    layout,
    statistics,
    weight,
    sums: NOTHING,
    clampEps,
  };
  const commands: Command[] = [];
  if (toParameters) {
    commands.push(toParameters);
  }
  if (toInput) {
    commands.push(toInput);
  }
  return (sums, part) => {
    layout.part = part;
    if (toParameters) {
      toParameters.part = part;
      toParameters.sums = sums;
    }
    if (toInput) {
      toInput.sums = sums;
    }
    return commands;
  };
}

/** A layout of which the channels that a step works on can be set. */
function partOf({ samples, channels, length, format }: BatchLayout): BatchLayout & { part: ChannelRange | undefined } {
  return { samples, channels, length, format, part: undefined };
}

/** Samples in a leaf of the canonical tree. */
export function leafSamples(length: number): number {
  return Math.max(1, 2 ** Math.ceil(Math.log2(LEAF_VALUES / length)));
}

/**
 * How many channels a pass works on at a time, so that they are still cached when they are read again.
 * @param inputs - tensors that a partial is computed from.
 */
export function channelsAtATime(layouts: readonly BatchLayout[], inputs: number): number {
  const channels = layouts[0]?.channels ?? 0;
  const length = Math.max(...layouts.map((layout) => layout.length));
  // Rows are laid together by the number of their channels, so their bits are those of all channels at once.
  const isRows =
    leafSamples(length) > 1 || layouts.some(({ format, length }) => format === 'channels_last' && length > 1);
  return isRows ? channels : Math.max(1, Math.min(channels, Math.ceil(RUN_VALUES / inputs / length)));
}

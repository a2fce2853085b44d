/**
 * The passes that the workers of a group do together, on one worker: group of channels by group, so that a group is still cached
 * when it is read again. The bits are those of the steps, for they are the steps.
 */

import type { CpuDevice } from './cpu_device.ts';
import type { ChannelRange } from './device.ts';
import type { WorkerCommand } from './worker_commands.ts';
import type { Exchange } from './worker_exchange.ts';

const ALL: ChannelRange = [0, 0];
const NOTHING: Uint8Array = new Uint8Array(0);

// Each step's command is made once and changed in place: a new one for each group of channels would take longer than the small steps.

export function batchNormJointly(device: CpuDevice, exchange: Exchange, share: WorkerCommand<'jointBatchNorm'>): void {
  const { mean, variance, nextMean, nextVariance, momentum, correction } = share;
  const layout = { ...share.layout, part: ALL };
  const moments = { operation: 'moments' as const, x: share.x, layout, firstSample: share.firstSample };
  const { eps, epsMode, statistics } = share;
  const finalize = { operation: 'finalize' as const, merged: NOTHING, eps, epsMode, statistics, part: ALL };
  const updateRunning = mean &&
    variance &&
    nextMean &&
    nextVariance && {
      operation: 'updateRunning' as const,
      ...{ merged: NOTHING, mean, variance, nextMean, nextVariance, momentum: momentum ?? 0 },
      ...{ correction: correction ?? 1, part: ALL },
    };
  const normalize = { ...share, operation: 'normalize' as const, layout };
  inGroups(exchange, share.layout.channels, share.width, {
    reduce(part) {
      layout.part = part;
      return device.reduceNow(moments);
    },
    finish(part, merged) {
      layout.part = finalize.part = part;
      finalize.merged = merged;
      device.run(finalize);
      if (updateRunning) {
        updateRunning.part = part;
        updateRunning.merged = merged;
        device.run(updateRunning);
      }
      device.run(normalize);
    },
  });
}

export function batchNormBackwardJointly(
  device: CpuDevice,
  exchange: Exchange,
  share: WorkerCommand<'jointBatchNormBackward'>,
): void {
  const { dx, dweight, dbias, statistics } = share;
  const layout = { ...share.layout, part: ALL };
  const reduction = { ...share, operation: 'backwardReduce' as const, layout };
  const toParameters = (dweight ?? dbias) && {
    operation: 'backwardParameters' as const,
    ...{ sums: NOTHING, statistics, dweight, dbias, part: ALL },
  };
  const toInput = dx && { ...share, operation: 'backwardInput' as const, dx, layout, sums: NOTHING };
  inGroups(exchange, share.layout.channels, share.width, {
    reduce(part) {
      layout.part = part;
      return device.reduceNow(reduction);
    },
    finish(part, sums) {
      layout.part = part;
      if (toParameters) {
        toParameters.part = part;
        toParameters.sums = sums;
        device.run(toParameters);
      }
      if (toInput) {
        toInput.sums = sums;
        device.run(toInput);
      }
    },
  });
}

interface Pass {
  /** The partial of some channels of the own share. */
  readonly reduce: (part: ChannelRange) => Uint8Array;
  /** What is done with the partials of all shares, laid end to end. */
  readonly finish: (part: ChannelRange, partials: Uint8Array) => void;
}

/** While the others are not ready with a group, the next one is reduced. */
function inGroups(exchange: Exchange, channels: number, width: number, { reduce, finish }: Pass): void {
  const waiting: ChannelRange[] = [];
  const finishNext = (): void => {
    const part = waiting.shift();
    if (part !== undefined) {
      finish(part, exchange.take());
    }
  };
  for (let first = 0; first < channels; first += width) {
    const part: ChannelRange = [first, Math.min(first + width, channels)];
    exchange.post(reduce(part));
    waiting.push(part);
    while (waiting.length === exchange.mostWaiting || (waiting.length > 0 && exchange.isThere)) {
      finishNext();
    }
  }
  while (waiting.length > 0) {
    finishNext();
  }
}

/** The passes that the workers of a group do together, on one worker. */

import type { ChannelRange } from './device.ts';
import type { JointPass } from './joint_pass.ts';
import type { Exchange } from './worker_exchange.ts';

/**
 * Runs a worker's part of a pass.
 * @param width - how many channels are worked on at a time, so that they are still cached when they are read again. While the others are
 * not ready with some, the next ones are reduced.
 */
export function runJointly(exchange: Exchange, channels: number, width: number, { reduce, finish }: JointPass): void {
  const waiting: ChannelRange[] = [];
  const finishNext = (): void => {
    const part = waiting.shift();
    if (part !== undefined) {
      finish(exchange.take(), part);
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

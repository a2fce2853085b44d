/** The program of the ranks that `spawn_ranks.ts` starts: one step, and how what it exchanges travels. */

import type { RankContext } from 'syncbn/distributed';
import { type RankStep, stepOfRank } from './rank_step.ts';

export interface RankOutcome {
  readonly step: RankStep;
  /** Frames that this rank has sent, and those of them that were messages of ports. */
  readonly frames: number;
  readonly messages: number;
}

let messages = 0;
const { postMessage } = MessagePort.prototype as unknown as { readonly postMessage: (...given: unknown[]) => void };
MessagePort.prototype.postMessage = function (this: MessagePort, ...given: unknown[]): void {
  // What wakes a thread up is no frame.
  if (ArrayBuffer.isView(given[0])) messages += 1;
  postMessage.apply(this, given);
};

// eslint-disable-next-line import-x/no-default-export -- `spawn()` runs the default export of a program.
export default async function main({ group, args }: RankContext<string>): Promise<RankOutcome> {
  const step = await stepOfRank(args, group);
  return { step, frames: group.frames.sent, messages };
}

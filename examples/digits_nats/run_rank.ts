/** One rank of the example, wherever it runs: joins the job over NATS, trains its part and tells how it goes. */

import { initProcessGroup, type ProcessGroup } from 'syncbn/distributed';
import { nats } from 'syncbn/distributed/nats';
import type { Samples } from '../digits/samples.ts';
import { type RankOptions, trainRank } from '../digits_distributed/train_rank.ts';

/** Which rank of which job, and what is trained. */
export interface RankPlace extends RankOptions {
  /** Addresses of the broker that this platform can reach. */
  readonly servers: readonly string[];
  readonly job: string;
  readonly rank: number;
  readonly worldSize: number;
  /** How long the ranks wait for each other, in seconds. */
  readonly timeout: number;
}

/** What a rank tells while it runs. */
export type RankNews =
  /** All ranks are there: where each runs, in order. */
  | { readonly platforms: readonly string[] }
  | StepNews
  /** It has trained all steps, and its weights are those of every other rank. */
  | { readonly weights: Float32Array };

export interface StepNews {
  readonly step: number;
  /** Of the whole batch. */
  readonly loss: number;
  readonly milliseconds: number;
}

/** @param train - the images that batches are drawn from, the same on all ranks. @param platform - where this rank runs, for people. */
export async function runRank(
  place: RankPlace,
  train: Samples,
  platform: string,
  tell: (news: RankNews) => void,
): Promise<void> {
  const { servers, job, rank, worldSize, timeout, ...options } = place;
  const group = await initProcessGroup({ backend: nats({ servers }), job, rank, worldSize, timeout });
  try {
    const names = await group.allGather(new TextEncoder().encode(platform), 'platforms');
    tell({ platforms: names.map((name) => new TextDecoder().decode(name)) });
    let start = performance.now();
    await trainRank(group, { train }, options, async (step, { loss, weights }) => {
      const now = performance.now();
      tell({ step, loss, milliseconds: now - start });
      start = now;
      if (step === options.steps) {
        tell({ weights: await sameOnAll(group, await weights()) });
      }
    });
  } catch (error) {
    group.abort(error);
    throw error;
  } finally {
    await group.destroy();
  }
}

/** @returns the weights. @throws Error unless all ranks have the same, bit by bit. */
async function sameOnAll(group: ProcessGroup, weights: Float32Array): Promise<Float32Array> {
  const own = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  for (const [rank, bytes] of (await group.allGather(own, 'weights')).entries()) {
    if (bytes.some((byte, i) => byte !== own[i]))
      throw new Error(`the weights of rank ${rank} are not those of rank ${group.rank}`);
  }
  return weights;
}

/** How many samples of each batch a rank has. */
export function shareOf({ batch, worldSize }: Pick<RankPlace, 'batch' | 'worldSize'>, rank: number): number {
  return Math.floor((batch * (rank + 1)) / worldSize) - Math.floor((batch * rank) / worldSize);
}

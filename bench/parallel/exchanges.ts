/**
 * Workers that meet among themselves, in memory that they share: what those of a group do in a synchronized layer, of which the
 * calling thread hears nothing.
 */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import { createGroupMemory } from '../../ts/device/worker_exchange.ts';
import { repositoryFile } from '../repository.ts';
import type { ExchangeRequest, ExchangeStart } from './exchange_program.ts';

/** Workers that meet in one of the ways. */
export interface Meeters {
  /** Seconds that each of so many meetings took. */
  readonly meet: (bytes: number, rounds: number) => Promise<readonly number[]>;
  close(): Promise<unknown>;
}

/** @param largest - bytes of the largest payload. */
export async function openExchanges(workers: number, largest: number): Promise<Meeters> {
  const { outputFiles } = await build({
    entryPoints: [repositoryFile('bench/parallel/exchange_program.ts')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    write: false,
    tsconfigRaw: {},
  });
  const program = outputFiles[0]?.text ?? '';
  const memory = createGroupMemory(workers, largest);
  const threads = Array.from({ length: workers }, (_, rank) => {
    return new Worker(program, { eval: true, workerData: { memory, rank, workers, largest } satisfies ExchangeStart });
  });
  return {
    async meet(bytes, rounds) {
      for (const thread of threads) thread.postMessage({ bytes, rounds } satisfies ExchangeRequest);
      const answers = await Promise.all(threads.map(async (thread) => (await once(thread, 'message')) as [number[]]));
      return answers[0]?.[0] ?? [];
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.terminate()));
    },
  };
}

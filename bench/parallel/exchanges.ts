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

export interface Exchanges {
  /** Seconds that each of so many meetings took the first worker. */
  readonly meet: (bytes: number, rounds: number) => Promise<readonly number[]>;
  close(): Promise<void>;
}

/** @param largest - bytes of the largest payload. */
export async function openExchanges(workers: number, largest: number): Promise<Exchanges> {
  const program = await bundle(repositoryFile('bench/parallel/exchange_program.ts'));
  const memory = createGroupMemory(workers, largest);
  const threads = Array.from({ length: workers }, (_, rank) => {
    return new Worker(program, { eval: true, workerData: { memory, rank, workers } satisfies ExchangeStart });
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

async function bundle(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    write: false,
    tsconfigRaw: {},
    logLevel: 'warning',
  });
  return outputFiles[0]?.text ?? '';
}

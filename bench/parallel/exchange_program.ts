/** Runs in each worker of `exchanges.ts`: meets the others as often as it is told, and says how long each meeting took. */

import { parentPort, workerData } from 'node:worker_threads';
// Layers reach it through the face of the library, benchmarks cannot: see `meeting.ts`.
import { Exchange } from '../../ts/device/worker_exchange.ts';

/** What a worker is started with. */
export interface ExchangeStart {
  readonly memory: Uint8Array<SharedArrayBuffer>;
  readonly rank: number;
  readonly workers: number;
  /** Bytes of the largest payload. */
  readonly largest: number;
}

/** What it is asked for. */
export interface ExchangeRequest {
  readonly bytes: number;
  readonly rounds: number;
}

const { memory, rank, workers, largest } = workerData as ExchangeStart;
const exchange = new Exchange(memory, rank, workers, largest);

parentPort?.on('message', ({ bytes, rounds }: ExchangeRequest) => {
  const payload = new Uint8Array(bytes);
  const seconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    exchange.post(payload);
    exchange.take();
    seconds.push((performance.now() - start) / 1000);
  }
  parentPort?.postMessage(seconds);
});

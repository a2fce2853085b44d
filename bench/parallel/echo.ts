/** What meetings are compared with: workers that send back what they are sent, and nothing around them. */

import { Worker } from 'node:worker_threads';

const PROGRAM = `const { parentPort } = require('node:worker_threads');
parentPort.on('message', (message) => parentPort.postMessage(message));`;

export interface Echoes {
  /** Sends so many bytes to every worker, and awaits them from all. */
  readonly round: (bytes: number) => Promise<void>;
  close(): Promise<void>;
}

export async function openEchoes(count: number): Promise<Echoes> {
  const workers = Array.from({ length: count }, () => new Worker(PROGRAM, { eval: true }));
  let missing = 0;
  let end: () => void = () => undefined;
  for (const worker of workers) {
    worker.on('message', () => {
      missing -= 1;
      if (missing === 0) end();
    });
  }
  const payloads = new Map<number, Uint8Array>();
  const payloadOf = (bytes: number): Uint8Array => {
    const payload = payloads.get(bytes) ?? new Uint8Array(bytes);
    payloads.set(bytes, payload);
    return payload;
  };
  const round = (bytes: number): Promise<void> =>
    new Promise((resolve) => {
      const payload = payloadOf(bytes);
      missing = count;
      end = resolve;
      for (const worker of workers) worker.postMessage(payload);
    });
  await round(0);
  return {
    round,
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

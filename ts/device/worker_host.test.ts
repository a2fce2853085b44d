import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compileCpuModule } from '../wasm/cpu_module.ts';
import { openWorker } from './worker_host.ts';

const ended: Promise<unknown>[] = [];
const note = (worker: Worker): void => void ended.push(new Promise((resolve) => worker.on('exit', resolve)));

beforeEach(() => {
  ended.length = 0;
  process.on('worker', note);
});
afterEach(() => void process.off('worker', note));

describe('a worker', () => {
  it('that cannot take commands is ended, and its opening tells why', async () => {
    // Not the kernels: they cannot be instantiated from it.
    const module = await WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
    await expect(openWorker({ name: 'worker:7', module }, null)).rejects.toThrow('TypeError');
    expect(ended.length).toBe(1);
    await Promise.all(ended);
  });

  it('that can take commands lives until it is terminated', async () => {
    const worker = await openWorker({ name: 'worker:7', module: await compileCpuModule() }, null);
    expect(ended.length).toBe(1);
    await worker.terminate();
    await Promise.all(ended);
  });
});

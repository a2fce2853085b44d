/** Random sequences of steps in which workers are ended from outside, at rest and at work. */

import type { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { devices } from 'syncbn';
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import { type Platform, runSequence } from './fuzz_run.ts';
import { sequences } from './fuzz_steps.ts';

/** A failure prints `seed` and `path`: put here, they run that sequence again and no other. */
const replay: fc.Parameters<unknown> = { seed: 1, numRuns: 60 };

/** The thread behind each device. Node tells of every worker it starts, and one is started at a time. */
const threads = new Map<string, Worker>();
const started: Worker[] = [];
const note = (worker: Worker): void => void started.push(worker);

beforeEach(() => void process.on('worker', note));
afterEach(() => void process.off('worker', note));
afterAll(() => devices.close());

const platform: Platform = {
  async open(name) {
    const ended = threads.get(name)?.threadId === -1;
    if (ended) devices.recreate(name);
    const before = started.length;
    await devices.get(name).ready();
    const thread = started[before];
    if (thread !== undefined) threads.set(name, thread);
  },
  async terminate(name) {
    await threads.get(name)?.terminate();
  },
};

it('leaves the state of a model that never failed, nothing else, and no one waiting', async () => {
  let runs = 0;
  const property = fc.asyncProperty(sequences({ canRecreate: true, canTerminate: true }), async (sequence) => {
    runs += 1;
    await runSequence(sequence, 'worker', platform);
  });
  await fc.assert(property, replay);
  expect(runs).toBeGreaterThan(0);
});

/** Random sequences of steps in which GPU devices are destroyed, at rest and at work. */

import fc from 'fast-check';
import { devices } from 'syncbn';
import { afterAll, expect, it } from 'vitest';
import { type Platform, runSequence } from './fuzz_run.ts';
import { sequences } from './fuzz_steps.ts';

/** A failure prints `seed` and `path`: put here, they run that sequence again and no other. */
const replay: fc.Parameters<unknown> = { seed: 1, numRuns: 12 };

const destroyed = new Set<string>();

afterAll(() => devices.close());

const platform: Platform = {
  async open(name) {
    if (destroyed.delete(name)) devices.recreate(name);
    await devices.get(name).ready();
  },
  async terminate(name) {
    const { gpuDevice } = devices.get(name as `webgpu:${number}`);
    destroyed.add(name);
    gpuDevice.destroy();
    await gpuDevice.lost;
  },
};

it('leaves the state of a model that never failed, nothing else, and no one waiting', async () => {
  let runs = 0;
  const property = fc.asyncProperty(sequences({ canRecreate: true, canTerminate: true }), async (sequence) => {
    runs += 1;
    await runSequence(sequence, 'webgpu', platform);
  });
  await fc.assert(property, replay);
  expect(runs).toBeGreaterThan(0);
});

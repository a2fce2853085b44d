/** Random sequences of steps on devices that live until they are made anew; `fuzz_lost.test.ts` ends them from outside too. */

import fc from 'fast-check';
import { devices } from 'syncbn';
import { afterAll, describe, expect, it } from 'vitest';
import { deviceKinds } from '../support/device_kinds.ts';
import { type Platform, runSequence } from './fuzz_run.ts';
import { sequences } from './fuzz_steps.ts';

/** A failure prints `seed` and `path`: put here, they run that sequence again and no other. */
const replay: fc.Parameters<unknown> = { seed: 1 };
/** A step on emulated GPUs takes ten times as long. */
const numRuns = { cpu: 40, worker: 40, webgpu: 12 };

const platform: Platform = {
  open: (name) => devices.get(name).ready(),
  terminate: (name) => Promise.reject(new Error(`nothing ends ${name}`)),
};

describe.each(deviceKinds)('any sequence of steps on %s', (kind) => {
  afterAll(() => devices.close());

  it('leaves the state of a model that never failed, nothing else, and no one waiting', async () => {
    let runs = 0;
    const property = fc.asyncProperty(
      sequences({ canRecreate: kind !== 'cpu', canTerminate: false }),
      async (sequence) => {
        runs += 1;
        await runSequence(sequence, kind, platform);
      },
    );
    await fc.assert(property, { ...replay, numRuns: numRuns[kind] });
    expect(runs).toBeGreaterThan(0);
  });
});

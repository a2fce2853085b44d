import { expect, it } from 'vitest';
import { generateProgram } from './generate.ts';
import type { Program } from './program.ts';
import { shrink } from './shrink.ts';

/** A random program with a forward pass of many samples. */
const program = Array.from({ length: 100 }, (_, i) => generateProgram(1, i, ['cpu'])).find((one) =>
  hasSamples(one, 10),
);

function hasSamples({ steps }: Program, least: number): boolean {
  return steps.some((step) => step.kind === 'forward' && step.batch.samples >= least);
}

it('keeps_what_a_fault_needs_and_nothing_else', async () => {
  if (program === undefined) throw new RangeError('expected a program with ten samples');
  expect(program.steps.length).toBeGreaterThan(1);
  const shrunk = await shrink(program, (candidate) => Promise.resolve(hasSamples(candidate, 3)), 5000);
  expect(shrunk.program.steps).toMatchObject([{ kind: 'forward', batch: { samples: 3, seed: 0 }, fault: null }]);
  expect(shrunk.program).toMatchObject({ model: [{}], devices: [{}] });
  expect(shrunk.program.channels).toBe(1);
});

it('tries_no_more_programs_than_it_may', async () => {
  if (program === undefined) throw new RangeError('expected a program with ten samples');
  let tries = 0;
  const fails = (): Promise<boolean> => Promise.resolve((tries += 1) > 0);
  expect((await shrink(program, fails, 7)).tries).toBe(7);
  expect(tries).toBe(7);
});

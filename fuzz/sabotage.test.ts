/** The fuzzer finds a twin that is wrong, and shortens the program that shows it: one that cannot fail would be of no use. */

import { tensor, type Tensor } from 'syncbn';
import { expect, it } from 'vitest';
import { collectGarbage } from '../tests/support/event_loop.ts';
import { generateProgram } from './generate.ts';
import { Fault } from './outcome.ts';
import type { Program } from './program.ts';
import { runProgram } from './run.ts';
import { shrink } from './shrink.ts';
import type { Sabotage } from './world.ts';

/** The fault that a program shows, where there is one. */
async function faultOf(program: Program, sabotage: Sabotage): Promise<Fault | null> {
  // A program that ends with a fault gives nothing back. What is collected of it during the next one would be taken for a fault there.
  await collectGarbage();
  try {
    await runProgram(program, { sabotage });
    return null;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** The first program that shows a fault. */
async function found(sabotage: Sabotage): Promise<{ readonly program: Program; readonly fault: Fault }> {
  for (let index = 0; index < 30; index++) {
    const program = generateProgram(1, index, ['cpu']);
    const fault = await faultOf(program, sabotage);
    if (fault !== null) return { program, fault };
  }
  throw new Error('expected a fault in one of 30 programs');
}

/** A last bit of the first value is other than it should be where batches have at least 3 samples and 2 channels. */
const offByOneBit =
  (quantity: string): Sabotage =>
  (what, values, shape) => {
    const [samples = 0, channels = 0] = shape;
    if (what !== quantity || samples < 3 || channels < 2) return values;
    const changed = values.slice();
    const bits = new Uint32Array(changed.buffer);
    bits[0] = (bits[0] ?? 0) ^ 1;
    return changed;
  };

it.each(['y', 'dx'])('one_wrong_bit_of_%s_is_found_and_shortened', async (quantity) => {
  const sabotage = offByOneBit(quantity);
  const { program, fault } = await found(sabotage);
  expect(fault).toMatchObject({ kind: 'bits', what: quantity });
  const shows = async (candidate: Program): Promise<boolean> => (await faultOf(candidate, sabotage))?.what === quantity;
  const shrunk = await shrink(program, shows, 400);
  expect(shrunk.program.channels).toBe(2);
  expect(shrunk.program.steps.length).toBeLessThanOrEqual(2);
  expect(shrunk.program.steps[0]).toMatchObject({ kind: 'forward', batch: { samples: 3 } });
});

it('a_buffer_that_nothing_refers_to_is_found_after_the_step', async () => {
  const forgotten: Tensor[] = [];
  const { fault } = await found((_what, values) => {
    forgotten.push(tensor([1]));
    return values;
  });
  expect(fault).toMatchObject({
    kind: 'memory',
    what: expect.stringMatching(/^after (forward|backward|steady)/) as string,
  });
  forgotten.forEach((item) => item.dispose());
});

import { init } from 'syncbn';
import { createLocalGroups, type ProcessGroup, runRanks } from 'syncbn/distributed';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../../tests/support/bits.ts';
import { type Dataset, loadDataset } from '../digits/dataset.ts';
import { randomStream } from '../digits/random.ts';
import { trainRank } from './train_rank.ts';

const STEPS = 60;
// As few as four ranks can share; a test of many steps has to be short.
const BATCH = 4;

/** After every step, the loss and all parameters. */
interface Course {
  readonly losses: number[];
  readonly weights: Float32Array[];
}

describe('ranks train the digits network', () => {
  let dataset: Dataset;
  let alone: Course;

  beforeAll(async () => {
    await init();
    dataset = loadDataset(9000, randomStream(3, 0));
    const [group] = await createLocalGroups(1);
    if (group === undefined) throw new Error('expected a group');
    alone = await courseOf(group);
  });

  async function courseOf(group: ProcessGroup): Promise<Course> {
    const course: Course = { losses: [], weights: [] };
    await trainRank(group, dataset, { batch: BATCH, steps: STEPS, seed: 5 }, async (_, { loss, weights }) => {
      course.losses.push(loss);
      course.weights.push(await weights());
    });
    return course;
  }

  it('and_one_learns', () => {
    expect(alone.losses).toHaveLength(STEPS);
    const mean = (losses: number[]): number => losses.reduce((a, b) => a + b) / losses.length;
    expect(mean(alone.losses.slice(-10))).toBeLessThan(0.8 * mean(alone.losses.slice(0, 10)));
  });

  // Of three, one has two samples.
  it.each([2, 3, 4])(
    'with_%d_ranks_the_parameters_after_every_step_are_those_of_one_process_to_the_bit',
    async (size) => {
      for (const [rank, course] of (await runRanks(size, courseOf)).entries()) {
        for (const [step, weights] of course.weights.entries()) {
          expectSameBits(weights, alone.weights[step] ?? [], `rank ${rank}, step ${step + 1}`);
        }
      }
    },
  );
});

/** The three networks of the demo page, trained side by side. */

import { type DeviceName, devices } from 'syncbn';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { demoDigits } from '../../../scripts/docs/demo_digits.mjs';
import type { Beliefs, Settings, TaskName } from '../protocol.ts';
import { digitsTask } from './digits_task.ts';
import { Session } from './session.ts';
import { shapesTask } from './shapes_task.ts';
import type { Task } from './task.ts';

describe('a session', () => {
  let tasks: Readonly<Record<TaskName, Task>>;

  beforeAll(() => {
    tasks = { digits: digitsTask(demoDigits()), shapes: shapesTask() };
  });
  afterEach(() => devices.close());

  function open(task: TaskName, deviceIds: readonly DeviceName[], samplesPerDevice: number): Promise<Session> {
    const settings: Settings = { task, deviceIds, samplesPerDevice, seed: 1 };
    return Session.open(tasks[task], settings, { layer: 1, channel: 3 });
  }

  it.each([
    ['digits', 2],
    ['shapes', 1],
  ] as const)('trains_%s_over_devices_with_the_weights_of_one_device', async (task, samples) => {
    const session = await open(task, ['cpu:0', 'cpu:1', 'cpu:2'], samples);
    for (let step = 1; step <= 3; step++) {
      const { losses } = expectType(await session.step(), 'stepped');
      expect(losses.synchronized).toBe(losses.one);
      expect(losses.plain).not.toBe(losses.one);
    }
    const { difference, scores } = await session.examine();
    expect(difference).toBe(0);
    expect(scores.synchronized).toBe(scores.one);
  });

  it('reads_off_the_outputs_which_statistics_each_device_has_normalized_with', async () => {
    const session = await open('digits', ['cpu:0', 'cpu:1'], 4);
    const { beliefs } = expectType(await session.step(), 'stepped');
    const [plain, synchronized] = [defined(beliefs.plain), defined(beliefs.synchronized)];
    expect(largestDistance(synchronized)).toBeLessThan(1e-4);
    expect(largestDistance(plain)).toBeGreaterThan(0.01);
    // Shares of one size: the mean of the batch is the mean of the devices' means.
    const means = plain.devices.map(({ mean }) => mean);
    expect((defined(means[0]) + defined(means[1])) / 2).toBeCloseTo(plain.mean, 5);
  });

  it('tells_that_plain_batch_norm_cannot_train_on_one_value_per_channel_and_trains_the_others', async () => {
    const session = await open('digits', ['cpu:0', 'cpu:1'], 1);
    const { error } = expectType(await session.step(), 'refused');
    expect(error.message).toMatch(/Expected more than 1 value per channel when training/);
    const { losses } = expectType(await session.step(), 'stepped');
    expect(losses.plain).toBeNull();
    expect(losses.synchronized).toBe(losses.one);
  });

  it.each(['cpu', 'worker'] as const)('takes_a_step_up_again_when_a_broken_%s_is_repaired', async (kind) => {
    const broken: DeviceName = `${kind}:1`;
    const session = await open('shapes', [`${kind}:0`, broken], 1);
    expectType(await session.step(), 'stepped');
    const { device, error, stateBefore, stateAfter } = expectType(await session.step(broken), 'broken');
    expect(device).toBe(broken);
    expect(error.name).toBe('ReplicaError');
    expect(error.message).toContain(broken);
    expect(stateAfter).toBe(stateBefore);
    await session.repair(broken);
    const { step } = expectType(await session.step(), 'stepped');
    expect(step).toBe(2);
    expect((await session.examine()).difference).toBe(0);
  });

  it('looks_at_another_channel_from_the_next_step_on', async () => {
    const session = await open('shapes', ['cpu:0', 'cpu:1'], 1);
    const first = expectType(await session.step(), 'stepped');
    // Asked while a step is under way, whose devices have been asked for the other.
    const step = session.step();
    session.observe({ layer: 0, channel: 5 });
    expect(expectType(await step, 'stepped').choice).toEqual(first.choice);
    const second = expectType(await session.step(), 'stepped');
    expect([first.choice, second.choice]).toEqual([
      { layer: 1, channel: 3 },
      { layer: 0, channel: 5 },
    ]);
    expect(session.layers.map(({ channels }) => channels)).toEqual([8, 8]);
  });
});

/** Of the devices' means from that of the batch, in its standard deviations. */
function largestDistance({ mean, variance, devices: each }: Beliefs): number {
  expect(each.length).toBeGreaterThan(1);
  return Math.max(...each.map((belief) => Math.abs(belief.mean - mean) / Math.sqrt(variance)));
}

function expectType<R extends { readonly type: string }, T extends R['type']>(
  report: R,
  type: T,
): Extract<R, { readonly type: T }> {
  expect(report).toMatchObject({ type });
  return report as Extract<R, { readonly type: T }>;
}

function defined<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('expected a value');
  return value;
}

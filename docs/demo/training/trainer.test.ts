/** What the thread that trains tells, by what it is asked. */

import { devices } from 'syncbn';
import { afterEach, describe, expect, it } from 'vitest';
import type { Message, Request } from '../protocol.ts';
import { shapesTask } from './shapes_task.ts';
import { Trainer } from './trainer.ts';

const choice = { layer: 0, channel: 0 };
const settings = { task: 'shapes', deviceIds: ['cpu:0', 'cpu:1'], samplesPerDevice: 1, seed: 1 } as const;

describe('a trainer', () => {
  afterEach(() => devices.close());

  /** Asks one after another; `'rest'` waits until the training rests, as does the end. @returns `training type` of what it told. */
  async function toldAfter(...requests: readonly (Request | 'rest')[]): Promise<string[]> {
    const messages: Message[] = [];
    const trainer = new Trainer(
      (message) => messages.push(message),
      () => Promise.resolve(shapesTask()),
    );
    for (const request of requests) await (request === 'rest' ? trainer.rest : trainer.handle(request));
    await trainer.rest;
    return messages.map(({ training, report }) => `${training} ${report.type}`);
  }

  const start = (training: number, steps: number): Request => ({ type: 'start', training, settings, choice, steps });

  it('trains_so_many_steps_tests_and_rests', async () => {
    expect(await toldAfter(start(7, 2))).toEqual([
      '7 started',
      '7 stepped',
      '7 examined',
      '7 stepped',
      '7 examined',
      '7 rested',
    ]);
  });

  it('goes_on_where_it_rested', async () => {
    const told = await toldAfter(start(1, 1), 'rest', { type: 'resume', steps: 2 });
    expect(told.filter((each) => each === '1 stepped').length).toBe(3);
    expect(told.at(-1)).toBe('1 rested');
  });

  it('rests_when_it_is_told_to_pause', async () => {
    const told = await toldAfter(start(1, 1000), { type: 'pause' });
    expect(told.filter((each) => each === '1 stepped').length).toBeLessThan(3);
    expect(told.at(-1)).toBe('1 rested');
  });

  it('gives_a_training_up_for_the_next_one_whose_reports_bear_its_number', async () => {
    const told = await toldAfter(start(1, 1000), start(2, 1));
    const next = told.indexOf('2 started');
    expect(told.slice(0, next).every((each) => each.startsWith('1 '))).toBe(true);
    expect(told.slice(next)).toEqual(['2 started', '2 stepped', '2 examined', '2 rested']);
  });

  it('waits_for_the_repair_of_a_device_that_broke', async () => {
    const broken = await toldAfter(start(1, 2), { type: 'break', device: 'cpu:1' });
    expect(broken.at(-1)).toBe('1 broken');
    const repaired = await toldAfter(start(1, 2), { type: 'break', device: 'cpu:1' }, 'rest', { type: 'repair' });
    expect(repaired.slice(repaired.indexOf('1 broken'))).toEqual(
      expect.arrayContaining(['1 repaired', '1 stepped', '1 rested']),
    );
  });

  it('tells_why_it_cannot_begin_and_can_begin_again', async () => {
    const wrong: Request = {
      type: 'start',
      training: 1,
      settings: { ...settings, deviceIds: ['cpu:0', 'gpu:7'] },
      choice,
      steps: 1,
    };
    expect(await toldAfter(wrong, start(2, 1))).toEqual([
      '1 failed',
      '2 started',
      '2 stepped',
      '2 examined',
      '2 rested',
    ]);
  });
});

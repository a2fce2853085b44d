/** What the page says. */

import { describe, expect, it } from 'vitest';
import type { Settings } from '../protocol.ts';
import { farthest } from './beliefs.ts';
import { type Course, headline } from './headline.ts';

const settings: Settings = { task: 'digits', deviceIds: ['cpu:0', 'cpu:1'], samplesPerDevice: 2, seed: 1 };
const course: Course = {
  settings,
  step: 30,
  scores: { one: 0.9, plain: 0.4, synchronized: 0.9 },
  difference: 0,
  refused: null,
};

describe('the headline', () => {
  it('compares_plain_with_synchronized_and_that_with_one_device', () => {
    expect(headline(course)).toBe(
      'After 30 steps on 2 devices, plain batch norm tells 40 % of new digits right, synchronized batch norm 90 %, with exactly the weights that one device learns.',
    );
  });

  it('does_not_call_weights_exact_that_differ', () => {
    expect(headline({ ...course, difference: 2.34e-7 })).toContain('within 2.3e-7 of the weights');
  });

  it('says_so_where_plain_batch_norm_cannot_train', () => {
    const refused = { name: 'ReplicaError', message: '', causes: [] };
    const text = headline({ ...course, scores: { ...course.scores, plain: null }, refused });
    expect(text).toContain('synchronized batch norm tells 90 % of new digits right');
    expect(text).toContain('Plain batch norm cannot train here');
  });
});

describe('what the devices believe', () => {
  const batch = { mean: 2, variance: 4 };

  it('is_called_equal_where_it_is', () => {
    const devices = ['cpu:0', 'cpu:1'].map((device) => ({ device, mean: 2 + 1e-6, variance: 4 }));
    expect(farthest({ ...batch, devices })).toBe('All devices: the mean and the deviation of the batch.');
  });

  it('is_told_in_standard_deviations_of_the_batch', () => {
    const devices = [
      { device: 'cpu:0', mean: 2, variance: 1 },
      { device: 'cpu:1', mean: -1, variance: 4 },
    ];
    expect(farthest({ ...batch, devices })).toBe(
      'Means are up to 1.50 standard deviations off; deviations are 0.500 to 1.00 times that of the batch.',
    );
  });

  it('is_not_guessed_where_no_output_tells', () => {
    expect(farthest({ ...batch, devices: [] })).toBe('The outputs of this channel do not tell.');
  });
});

import { describe, expect, it } from 'vitest';
import { movingMean } from './moving_mean.ts';

describe('movingMean()', () => {
  it('averages_each_value_and_those_before_it', () => {
    expect(movingMean([1, 3, 5, 10], 2)).toEqual([
      { x: 2, y: 2 },
      { x: 3, y: 4 },
      { x: 4, y: 7.5 },
    ]);
  });

  it('leaves_the_values_as_they_are_with_a_window_of_one', () => {
    expect(movingMean([4, 2], 1).map(({ y }) => y)).toEqual([4, 2]);
  });

  it('has_no_point_where_there_are_fewer_values_than_it_averages', () => {
    expect(movingMean([1, 2], 3)).toEqual([]);
  });
});

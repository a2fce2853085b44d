import { expect, test } from 'vitest';
import { fromChannelsLast, toChannelsLast } from './channels_last.ts';

/** Two samples, three channels, a plane of 1 × 2: each value tells sample, channel and position. */
const shape = [2, 3, 1, 2];
const logical = [0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121];

test('channels last puts the channels of a position beside each other, sample by sample', () => {
  expect([...toChannelsLast(logical, shape)]).toEqual([0, 10, 20, 1, 11, 21, 100, 110, 120, 101, 111, 121]);
});

test('one way undoes the other', () => {
  expect([...fromChannelsLast(toChannelsLast(logical, shape), shape)]).toEqual(logical);
});

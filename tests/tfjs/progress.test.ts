/** What a training draws on a terminal. */

import process from 'node:process';
import { stripVTControlCharacters } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { layers, type LayersModel, sequential } from '@tensorflow/tfjs-layers';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { fit, fitDataset, fromLayersModel, type LayersModule } from 'syncbn/tfjs';
import { randomArray } from '../support/random.ts';
import { useBackend } from './backends.ts';

beforeAll(() => useBackend('cpu'));

let drawn = '';
let isTTY: PropertyDescriptor | undefined;
beforeEach(() => {
  drawn = '';
  isTTY = Object.getOwnPropertyDescriptor(process.stderr, 'isTTY');
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    drawn += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  if (isTTY === undefined) Reflect.deleteProperty(process.stderr, 'isTTY');
  else Object.defineProperty(process.stderr, 'isTTY', isTTY);
});

function onTerminal(is: boolean): void {
  Object.defineProperty(process.stderr, 'isTTY', { value: is, configurable: true });
}

function network(): { model: LayersModel; net: LayersModule; xs: tf.Tensor; ys: tf.Tensor } {
  const model = sequential({
    layers: [layers.dense({ units: 4, inputShape: [5] }), layers.batchNormalization(), layers.dense({ units: 2 })],
  });
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError', metrics: ['mse'] });
  const [xs, ys] = [tf.tensor(randomArray(1, 60), [12, 5]), tf.tensor(randomArray(2, 24), [12, 2])];
  return { model, net: fromLayersModel(model), xs, ys };
}

/** What stood last on each line of the terminal. */
function lines(): string[] {
  return stripVTControlCharacters(drawn)
    .split('\n')
    .filter((line) => line.trim() !== '');
}

describe('on a terminal', () => {
  beforeEach(() => onTerminal(true));

  it('fit_draws_a_bar_for_each_epoch_with_losses_metrics_and_those_of_the_validation_at_its_end', async () => {
    const { net, xs, ys } = network();
    const { history } = await fit(net, xs, ys, { epochs: 2, batchSize: 3, validationSplit: 0.25 });
    expect(lines()).toHaveLength(2);
    for (const [epoch, line] of lines().entries()) {
      expect(line).toContain(`epoch ${epoch + 1}/2`);
      expect(line).toMatch(/█{20} 3\/3 · \d+ samples\/s · loss /);
      for (const name of ['loss', 'mse', 'val_loss', 'val_mse']) {
        expect(line).toContain(`${name} ${Number(history[name]?.[epoch]).toPrecision(4)}`);
      }
    }
    // The cursor is hidden while a bar is drawn, and shown at its end.
    expect(drawn.lastIndexOf('\x1B[?25h')).toBeGreaterThan(drawn.lastIndexOf('\x1B[?25l'));
  });

  it('fitDataset_counts_the_steps_where_nobody_knows_how_many_there_will_be', async () => {
    const { net } = network();
    let left = 3;
    const next = (): Promise<{ value: unknown; done: boolean }> =>
      Promise.resolve(left-- > 0 ? { value: { xs: tf.ones([2, 5]), ys: tf.ones([2, 2]) }, done: false } : { value: null, done: true }); // prettier-ignore
    await fitDataset(net, { iterator: () => Promise.resolve({ next }) }, { epochs: 1 });
    expect(lines()).toEqual([expect.stringContaining('epoch 1/1 3 steps · ')]);
  });

  it('a_training_that_fails_leaves_the_cursor_as_it_was_and_no_timer', async () => {
    const { net, xs, ys } = network();
    const fault = new Error('enough');
    const onStep = (): never => {
      throw fault;
    };
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    await expect(fit(net, xs, ys, { onStep })).rejects.toBe(fault);
    expect(drawn.lastIndexOf('\x1B[?25h')).toBeGreaterThan(drawn.lastIndexOf('\x1B[?25l'));
    // Others may end meanwhile.
    expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length).toBeLessThanOrEqual(timers);
  });

  it('nothing_is_drawn_with_verbose_0', async () => {
    const { net, xs, ys } = network();
    await fit(net, xs, ys, { verbose: 0 });
    expect(drawn).toBe('');
  });
});

it('nothing_is_drawn_where_there_is_no_terminal', async () => {
  onTerminal(false);
  const { net, xs, ys } = network();
  await fit(net, xs, ys);
  expect(drawn).toBe('');
});

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { experiment } from './experiment.ts';

beforeAll(async () => {
  await tf.setBackend('wasm');
  registerTrainingKernels();
});

it('two samples per device learn what one device learns, if batch norms synchronize', async () => {
  const options = { devices: 8, batch: 16, trainImages: 400, epochs: 1, testImages: 100, seed: 1, verbose: 0 } as const;
  const told: string[] = [];
  const { numTensors } = tf.memory();
  const [one, plain, synchronized] = await experiment(options, (name) => told.push(name));
  expect(told).toEqual([one?.name, plain?.name, synchronized?.name]);
  // Gradients of convolutions are sums of the devices' parts, which round differently; the first loss knows none.
  expect(synchronized?.losses[0]).toBe(one?.losses[0]);
  expect(synchronized?.fromOneDevice).toBeLessThan(1e-3);
  expect(plain?.fromOneDevice).toBeGreaterThan(0.05);
  expect(one?.accuracy).toBeGreaterThan(0.5);
  expect(synchronized?.accuracy).toBeCloseTo(one?.accuracy ?? NaN, 1);
  expect(plain?.accuracy).toBeLessThan(one?.accuracy ?? NaN);
  // What the three optimizers remember.
  expect(tf.memory().numTensors - numTensors).toBeLessThan(3 * 20);
});

/**
 * Digits, told by a network of TensorFlow.js: on one device, and on several with plain and with synchronized batch norm. `npm run example:tfjs_digits`;
 * `-- --help` lists the options.
 */

import process from 'node:process';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { Command, InvalidArgumentError } from 'commander';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { experiment } from './experiment.ts';

const count = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('expected a positive integer');
  return value;
};

const { devices, quick, seed } = new Command('npm run example:tfjs_digits --')
  .description('Trains a network of TensorFlow.js on digits, two samples per device, plain and synchronized.')
  .option('--devices <n>', 'devices, with two samples on each', count, 8)
  .option('--seed <n>', 'of the weights and the choice of images', count, 1)
  .option('--quick', 'fewer images', false)
  .allowExcessArguments(false)
  .parse()
  .opts<{ devices: number; quick: boolean; seed: number }>();

await tf.setBackend('wasm');
registerTrainingKernels();
const batch = 2 * devices;
const options = {
  ...{ devices, batch, seed, epochs: quick ? 1 : 3, testImages: quick ? 200 : 1000 },
  trainImages: batch * (quick ? 20 : 100),
  // A bar on a terminal, a line per epoch in a file.
  verbose: process.stderr.isTTY ? 1 : 2,
} as const;
const results = await experiment(options, (name) => console.log(`\n${name}`));
console.log(`\n${options.testImages} test images told right, and how far the weights are from those of one device:`);
for (const { name, accuracy, fromOneDevice } of results) {
  console.log(`  ${name.padEnd(42)} ${(100 * accuracy).toFixed(1)} %  ${fromOneDevice.toExponential(1)}`);
}

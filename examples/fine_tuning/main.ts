/**
 * Fine-tunes a trained network of TensorFlow.js with two samples per device: MobileNetV2, or InceptionV3 whose batch norms tfjs alone cannot
 * train. `npm run example:fine_tuning`; `-- --help` lists the options.
 */

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { Command, InvalidArgumentError, Option } from 'commander';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { fineTune } from './fine_tune.ts';
import { type NetworkName, NETWORKS } from './stored_model.ts';

const count = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('expected a positive integer');
  return value;
};

const options = new Command('npm run example:fine_tuning --')
  .description('Fine-tunes a trained network with two samples per device, plain and synchronized.')
  .addOption(
    new Option('--network <name>', 'of the package nsfwjs').choices(Object.keys(NETWORKS)).default('mobilenet_v2'),
  )
  .option('--size <n>', 'side of the images in pixels; at least 75 for inception_v3', count, 96)
  .option('--devices <n>', 'devices, with two samples on each', count, 4)
  .option('--steps <n>', 'training steps of each run', count, 40)
  .option('--test-images <n>', 'images to test with', count, 80)
  .option('--seed <n>', 'of the images', count, 1)
  .allowExcessArguments(false)
  .parse()
  .opts<{ network: NetworkName; size: number; devices: number; steps: number; testImages: number; seed: number }>();

await tf.setBackend('wasm');
registerTrainingKernels();
const every = Math.ceil(options.steps / 8);
const results = await fineTune(options, (run, step, loss) => {
  if (step % every === 0) console.log(`${run}: step ${step}, loss ${loss.toFixed(3)}`);
});
console.log(`\n${options.testImages} test images told right:`);
for (const { name, accuracy } of results) console.log(`  ${name.padEnd(40)} ${(100 * accuracy).toFixed(1)} %`);

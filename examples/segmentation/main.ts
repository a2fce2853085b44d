/**
 * Segmentation with one image per device: a TensorFlow.js model trains on one device, on sixteen devices with plain batch norm, and on sixteen
 * devices with synchronized batch norm. `npm run example:segmentation`; `-- --help` lists the options.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { Command, InvalidArgumentError } from 'commander';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { experiment } from './experiment.ts';
import { reportPage } from './report.ts';

const count = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('expected a positive integer');
  return value;
};

const { steps, seed, testImages, report } = new Command('npm run example:segmentation --')
  .description('Trains a small U-Net with one image per device, plain and synchronized, and writes an HTML report.')
  .option('--steps <n>', 'training steps of each run', count, 200)
  .option('--seed <n>', 'of images and initial weights', count, 1)
  .option('--test-images <n>', 'images to test with', count, 100)
  .option('--report <file>', 'where to write the HTML report', 'reports/segmentation.html')
  .allowExcessArguments(false)
  .parse()
  .opts<{ steps: number; seed: number; testImages: number; report: string }>();

await tf.setBackend('wasm');
registerTrainingKernels();

const options = { steps, seed, trainImages: 400, testImages };
const every = Math.ceil(steps / 4);
const results = await experiment(options, (run, step, loss) => {
  if (step % every === 0) console.log(`${run}: step ${step}, loss ${loss.toFixed(3)}`);
});

console.log('\nmean intersection over union on the test images:');
for (const { name, checkpoints } of results.runs) {
  console.log(`  ${name.padEnd(38)} ${(100 * (checkpoints.at(-1)?.overlap ?? NaN)).toFixed(1)} %`);
}
mkdirSync(dirname(report), { recursive: true });
writeFileSync(report, reportPage(results, options));
console.log(`\nreport: ${report}`);

/**
 * ResNet-50 as a model of tf.layers: one training step on one device, and the same step on two with an uneven share each.
 * `npm run example:resnet50 -- --help` lists the options; it needs a build.
 */

import { readFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { type LayersModule, loadTorchWeights, registerTrainingKernels } from 'syncbn/tfjs';
import { patterns } from './batch.ts';
import { compareOneStep } from './one_step.ts';
import { parseOptions } from './options.ts';
import { resnet50 } from './resnet50.ts';

const { size, weights, quick } = parseOptions(process.argv.slice(2));
const imageSize = quick ? 64 : size;
await tf.setBackend('wasm');
registerTrainingKernels();
const model = resnet50(quick ? { imageSize, width: 8, classes: 10 } : { imageSize });
model.compile({ optimizer: tf.train.sgd(0.01), loss: 'categoricalCrossentropy' });
const classes = quick ? 10 : 1000;
const prepare = async (net: LayersModule): Promise<void> => {
  if (weights !== null) await loadTorchWeights(net, await readFile(weights));
};
const { losses, largestChange, ...found } = await compareOneStep(
  model,
  patterns(5, imageSize, classes),
  { deviceIds: ['cpu:0', 'cpu:1'], splitSizes: [3, 2] },
  prepare,
);
console.log(
  `ResNet-50, ${model.countParams().toLocaleString('en')} parameters, 5 images of ${imageSize} × ${imageSize}`,
);
console.log(
  `loss on one device ${losses[0]}, on two ${losses[1]}: ${losses[0] === losses[1] ? 'the same bits' : 'different'}`,
);
console.log(
  `largest change of a weight ${largestChange.toExponential(2)}; difference of two devices from one, of it ${found.weights.toExponential(1)}`,
);
console.log(`running statistics: difference, of the largest change ${found.statistics.toExponential(1)}`);
console.log(`seconds of the step: ${found.seconds.map((seconds) => seconds.toFixed(1)).join(' and ')}`);
process.exitCode = losses[0] === losses[1] && found.weights <= 3e-5 ? 0 : 1;

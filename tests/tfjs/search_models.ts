/** `npm run search:models -- FIRST COUNT`: as many random models as wanted, on 1, 2 and 3 devices and by plain tfjs. */

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { init } from 'syncbn';
import { type ModelFinding, searchModel } from './model_search.ts';
import { apart } from './model_bounds.ts';

const [first = 1000, count = 300] = process.argv.slice(2).map(Number);
await tf.setBackend('cpu');
await init(['cpu:0', 'cpu:1', 'cpu:2']);
const worst = new Map<string, { readonly difference: number; readonly seed: number }>();
let faults = 0;
const note = (name: string, difference: number, { seed }: ModelFinding): void => {
  if (!(difference < (worst.get(name)?.difference ?? -1))) worst.set(name, { difference, seed });
};
for (let seed = first; seed < first + count; seed += 1) {
  const finding = await searchModel(seed);
  for (const [name, difference] of Object.entries(finding.fromTfjs)) note(`${name}, from tfjs`, difference, finding);
  note('gradients, several devices from one', finding.devicesApart, finding);
  const wrong = apart(finding);
  faults += wrong.length > 0 ? 1 : 0;
  wrong.forEach((text) => console.log(`! seed ${seed}: ${text}`));
}
console.log(`${count} models from seed ${first} on, ${faults} with faults; largest difference, of the largest value`);
for (const [name, { difference, seed }] of worst) {
  console.log(`  ${name.padEnd(36)} ${difference.toExponential(1)}  seed ${seed}`);
}
process.exitCode = faults > 0 ? 1 : 0;

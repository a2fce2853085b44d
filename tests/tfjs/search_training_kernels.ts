/** `npm run search:tfjs -- FIRST COUNT`: the gradients of tfjs' layers with our kernels on the wasm backend, on as many random cases as wanted. */

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-layers';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { searchOnce } from './kernel_search.ts';

const [first = 1000, count = 2000] = process.argv.slice(2).map(Number);
const bound = 4e-6;
const worst = new Map<string, { readonly difference: number; readonly text: string }>();
await tf.setBackend('wasm');
registerTrainingKernels();
for (let seed = first; seed < first + count; seed += 1) {
  for (const { kernel, text, difference } of await searchOnce(seed, { reference: 'cpu', tested: 'wasm' })) {
    if (difference >= (worst.get(kernel)?.difference ?? 0)) worst.set(kernel, { difference, text });
  }
}
console.log(`${count} cases of each kind from seed ${first} on; largest difference, of the largest value`);
for (const [kernel, { difference, text }] of worst) {
  console.log(`${difference <= bound ? ' ' : '!'} ${kernel.padEnd(22)} ${difference.toExponential(1)}  ${text}`);
}
process.exitCode = [...worst.values()].every(({ difference }) => difference <= bound) ? 0 : 1;

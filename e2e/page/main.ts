/** The page's script: shows what the step gave, or the error. Its address tells where the step is done. */

import { trainOneStep } from './train_one_step.ts';

const kinds = ['cpu', 'worker', 'webgpu'] as const;
const shown = document.querySelector('output');
if (shown === null) throw new Error('the page has no output');
try {
  const given = new URLSearchParams(location.search);
  const kind = kinds.find((one) => one === given.get('kind')) ?? 'cpu';
  const step = await trainOneStep('/dist/index.js', { kind, workerUrl: given.get('workerUrl') });
  shown.textContent = JSON.stringify({ step, sharesMemory: crossOriginIsolated });
} catch (error) {
  shown.textContent = String(error);
}

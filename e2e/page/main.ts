/** The page's script: shows what the step gave, or the error. */

import { trainOneStep } from './train_one_step.ts';

const shown = document.querySelector('output');
if (shown === null) throw new Error('the page has no output');
try {
  shown.textContent = JSON.stringify(await trainOneStep('/dist/index.js'));
} catch (error) {
  shown.textContent = String(error);
}

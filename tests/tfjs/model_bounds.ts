/** What is granted to random models. */

import type { ModelFinding } from './model_search.ts';

/** Of the largest value; between two ways to compute the same in f32. */
const most = 1e-5;

/** What is wrong with a model, in words; empty when nothing is. */
export function apart({ differingBits, devicesApart, fromTfjs, tensorsLeft }: ModelFinding): string[] {
  const far = Object.entries({ ...fromTfjs, 'gradients between devices': devicesApart }).filter(
    ([, difference]) => !(difference <= most),
  );
  return [
    ...differingBits.map((name) => `other bits ${name}`),
    ...far.map(([name, difference]) => `${name} are ${difference.toExponential(1)} apart, of the largest`),
    ...(tensorsLeft === 0 ? [] : [`${tensorsLeft} tensors of tfjs are left`]),
  ];
}

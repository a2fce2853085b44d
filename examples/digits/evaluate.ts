/** How well a network tells digits that it has not seen. */

import { noGrad, scope, tensor } from 'syncbn';
import { CLASSES, IMAGE_SIZE, type Samples, slice } from './samples.ts';
import type { Classifier } from './runs.ts';

/** What a network makes of a set of images. */
export interface Evaluation {
  /** Share of the images whose digit got the highest logit. */
  readonly accuracy: number;
  /** One row of {@link CLASSES} per image. */
  readonly logits: Float32Array;
}

/** Images per forward pass: enough to pay for the call, little enough to stay in the cache. */
const BATCH = 50;

/**
 * Evaluates with the running statistics, on the one device the network lives on, however it was trained: in evaluation
 * mode no statistics are computed, so the result does not depend on how images are batched.
 */
export async function evaluate(network: Classifier, samples: Samples, device: string): Promise<Evaluation> {
  const count = samples.labels.length;
  const logits = new Float32Array(count * CLASSES);
  network.eval();
  try {
    for (let start = 0; start < count; start += BATCH) {
      const { images, labels } = slice(samples, start, BATCH);
      const rows = await scope(() =>
        noGrad(async () => {
          const x = tensor(images, [labels.length, 1, IMAGE_SIZE, IMAGE_SIZE], { device });
          return (await network.forward(x)).data();
        }),
      );
      logits.set(rows, start * CLASSES);
    }
  } finally {
    network.train();
  }
  const right = samples.labels.filter((label, n) => label === guessOf(logits, n)).length;
  return { accuracy: right / count, logits };
}

/** The class with the highest logit in row `n`. */
export function guessOf(logits: Float32Array, n: number): number {
  const row = logits.subarray(n * CLASSES, (n + 1) * CLASSES);
  return row.indexOf(Math.max(...row));
}

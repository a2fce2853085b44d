/** Which test images one network tells right and another wrong. */

import { IMAGE_SIZE, type Samples } from './samples.ts';
import { guessOf } from './evaluate.ts';

/** An image that was told wrong. */
export interface WrongDigit {
  readonly image: Float32Array;
  /** What it shows. */
  readonly label: number;
  /** What it was taken for. */
  readonly guess: number;
}

/**
 * Images that `better` tells right and `worse` wrong, in their order.
 * @param better - logits of the samples, a row of ten for each; `worse` likewise.
 */
export function wrongDigits(samples: Samples, better: Float32Array, worse: Float32Array): WrongDigit[] {
  const pixels = IMAGE_SIZE ** 2;
  return Array.from(samples.labels, (label, n): WrongDigit | null => {
    const guess = guessOf(worse, n);
    const isFound = guess !== label && guessOf(better, n) === label;
    return isFound ? { image: samples.images.subarray(n * pixels, (n + 1) * pixels), label, guess } : null;
  }).filter((digit) => digit !== null);
}

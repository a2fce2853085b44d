/** Images of handwritten digits, wherever they come from, and batches of them. */

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

/** Ink from 0 (paper) to 1, standardised. */
export function standardised(ink: number): number {
  return (ink - PIXEL_MEAN) / PIXEL_STD;
}

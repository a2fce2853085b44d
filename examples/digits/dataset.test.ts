import { beforeAll, describe, expect, it } from 'vitest';
import { type Dataset, loadDataset } from './dataset.ts';
import { batches, IMAGE_SIZE, type Samples } from './samples.ts';
import { randomStream } from './random.ts';

const PIXELS = IMAGE_SIZE ** 2;

describe('the digits', () => {
  let digits: Dataset;

  beforeAll(() => {
    digits = load(7);
  });

  it('are_10000_images_that_are_split_without_overlap', () => {
    const { train, test } = digits;
    expect(test.labels.length).toBe(1000);
    expect(train.labels.length + test.labels.length).toBe(10_000);
    expect(train.images.length).toBe(9000 * PIXELS);
    // Sums of pixels tell images apart well enough: a pair of equal ones is rare, a thousand of them an overlap.
    const sums = new Set(fingerprints(train));
    expect(fingerprints(test).filter((sum) => sums.has(sum)).length).toBeLessThan(10);
  });

  it('are_standardised', () => {
    const { images } = digits.train;
    const mean = images.reduce((sum, pixel) => sum + pixel, 0) / images.length;
    const variance = images.reduce((sum, pixel) => sum + (pixel - mean) ** 2, 0) / images.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.02);
  });

  it('keep_their_labels', () => {
    // Ones are drawn with the least ink and zeros with the most, in every set of handwritten digits.
    const { train } = digits;
    const ink = Array.from({ length: 10 }, () => ({ sum: 0, count: 0 }));
    fingerprints(train).forEach((sum, n) => {
      const entry = ink[train.labels[n] ?? -1];
      if (entry === undefined) {
        throw new RangeError(`unexpected label ${String(train.labels[n])}`);
      }
      entry.sum += sum;
      entry.count += 1;
    });
    const means = ink.map(({ sum, count }) => sum / count);
    expect(means.indexOf(Math.min(...means))).toBe(1);
    expect(means.indexOf(Math.max(...means))).toBe(0);
  });

  it('are_split_alike_for_equal_seeds_only', () => {
    expect(load(7).test.labels).toEqual(digits.test.labels);
    expect(load(8).test.labels).not.toEqual(digits.test.labels);
  });
});

describe('batches', () => {
  it('show_every_image_once_before_any_twice', () => {
    const seen = [...takeLabels(numbered(12), 4, 3)].flat();
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i));
  });

  it('leave_out_a_rest_smaller_than_a_batch', () => {
    const taken = takeLabels(numbered(10), 4, 5);
    expect(taken.every((batch) => batch.length === 4)).toBe(true);
  });
});

function load(seed: number): Dataset {
  return loadDataset(1000, randomStream(seed, 0));
}

function fingerprints({ images, labels }: Samples): number[] {
  return Array.from(labels, (_, n) => images.subarray(n * PIXELS, (n + 1) * PIXELS).reduce((a, b) => a + b, 0));
}

/** Blank images whose label is their number. */
function numbered(count: number): Samples {
  return { images: new Float32Array(count * PIXELS), labels: Uint8Array.from({ length: count }, (_, i) => i) };
}

function takeLabels(samples: Samples, size: number, count: number): number[][] {
  const source = batches(samples, size, randomStream(1, 0));
  return Array.from({ length: count }, () => [...source.next().value.labels]);
}

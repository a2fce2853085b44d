import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { registerTrainingKernels } from 'syncbn/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { randomStream } from '../digits/random.ts';
import { experiment } from './experiment.ts';
import { Overlap } from './overlap.ts';
import { reportPage } from './report.ts';
import { CLASSES, drawShapes, select, SIZE } from './shapes.ts';

describe('pictures', () => {
  const drawn = drawShapes(20, randomStream(1, 0));

  it('are the same for a seed, have every class, and show each as bright as ever', () => {
    expect(drawShapes(20, randomStream(1, 0))).toEqual(drawn);
    expect(new Set(drawn.masks)).toEqual(new Set(Array.from({ length: CLASSES }, (_, class_) => class_)));
    const means = Array.from({ length: CLASSES }, (_, class_) => {
      const own = [...drawn.masks.keys()].filter((pixel) => drawn.masks[pixel] === class_);
      return own.reduce((sum, pixel) => sum + (drawn.images[3 * pixel] ?? 0), 0) / own.length;
    });
    expect(means).toEqual([...means].sort((a, b) => a - b));
  });

  it('are selected with their masks', () => {
    const pixels = SIZE * SIZE;
    const selected = select(drawn, [7, 3]);
    expect(selected.images.subarray(3 * pixels)).toEqual(drawn.images.subarray(9 * pixels, 12 * pixels));
    expect(selected.masks.subarray(0, pixels)).toEqual(drawn.masks.subarray(7 * pixels, 8 * pixels));
  });
});

it('intersection over union is counted over all images, and leaves out what nobody has', () => {
  const overlap = new Overlap();
  overlap.add(Uint8Array.of(0, 0, 1), Uint8Array.of(0, 1, 1));
  overlap.add(Uint8Array.of(1, 1, 2), Uint8Array.of(1, 1, 1));
  expect(overlap.perClass).toEqual([1 / 2, 3 / 5, 0, NaN]);
  expect(overlap.mean).toBeCloseTo((1 / 2 + 3 / 5) / 3);
});

describe('the experiment', () => {
  const options = { steps: 6, seed: 1, trainImages: 32, testImages: 8 };
  beforeAll(async () => {
    await tf.setBackend('wasm');
    registerTrainingKernels();
  });

  it('trains with one sample per device as on one device, if it synchronizes, and tells so in a report', async () => {
    const results = await experiment(options, () => undefined);
    const [one, plain, synchronized] = results.runs.map(({ losses }) => losses);
    expect(synchronized?.[0]).toBe(one?.[0]);
    const distance = (losses: readonly number[] = []): number =>
      Math.max(...losses.map((loss, step) => Math.abs(loss - (one?.[step] ?? NaN))));
    expect(distance(synchronized)).toBeLessThan(1e-3);
    expect(distance(plain)).toBeGreaterThan(0.1);
    const page = reportPage(results, options);
    expect(page.match(/<img src="data:image\/png;base64,/g)).toHaveLength(6 * 5);
    expect(page).toContain('16 devices, 1 sample each, synchronized');
    expect(page).not.toMatch(/NaN|undefined/);
  });
});

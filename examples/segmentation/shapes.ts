/** Synthetic pictures of ground from above, and what each of their pixels shows. They are drawn anew for each seed. */

import type { Random } from '../digits/random.ts';

/** Side of an image in pixels. */
export const SIZE = 24;
/** What a pixel can show; the number of a class is its place here. */
export const CLASS_NAMES = ['water', 'forest', 'sand', 'snow'] as const;
export const CLASSES = CLASS_NAMES.length;

/** How bright each class is in red, green and blue. */
const COLOURS = [
  [0.26, 0.28, 0.3],
  [0.41, 0.43, 0.41],
  [0.58, 0.57, 0.55],
  [0.72, 0.72, 0.74],
] as const;

/** Images and masks of N samples. */
export interface Shapes {
  /** (N, 24, 24, 3), mostly between 0 and 1. */
  readonly images: Float32Array;
  /** (N, 24, 24): numbers of classes. */
  readonly masks: Uint8Array;
}

/** Whether a point belongs to a shape, in coordinates in which the shape lies between −1 and 1. */
type Contains = (x: number, y: number) => boolean;

const outlines: readonly Contains[] = [
  (x, y) => x * x + y * y <= 1,
  (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 0.9,
  (x, y) => y <= 0.9 && y >= 2 * Math.abs(x) - 0.95,
];

/**
 * Draws `count` samples: one to three disks, squares and triangles of one kind of ground on another, with noise. What a pixel shows is told by
 * how bright it is, compared with other images.
 */
export function drawShapes(count: number, random: Random): Shapes {
  const images = new Float32Array(count * SIZE * SIZE * 3);
  const masks = new Uint8Array(count * SIZE * SIZE);
  const draw = (choices: number): number => Math.floor(choices * random());
  for (let sample = 0; sample < count; sample++) {
    const mask = masks.subarray(sample * SIZE * SIZE, (sample + 1) * SIZE * SIZE).fill(draw(CLASSES));
    const other = draw(CLASSES);
    for (let left = 1 + draw(3); left > 0; left--) {
      const [radius, contains] = [4 + 4 * random(), outlines[draw(outlines.length)]];
      const [cx, cy] = [radius + (SIZE - 2 * radius) * random(), radius + (SIZE - 2 * radius) * random()];
      fillWhere(mask, other, (x, y) => contains?.((x - cx) / radius, (y - cy) / radius) === true);
    }
    mask.forEach((class_, pixel) => {
      const colour = COLOURS[class_] ?? COLOURS[0];
      // Three channels of one noise: no channel tells more than another.
      const noise = 0.25 * (random() + random() - 1);
      for (const [channel, value] of colour.entries()) {
        images[(sample * SIZE * SIZE + pixel) * 3 + channel] = value + noise;
      }
    });
  }
  return { images, masks };
}

/** The samples at some places, in that order. */
export function select({ images, masks }: Shapes, places: readonly number[]): Shapes {
  const pixels = SIZE * SIZE;
  const selected = {
    images: new Float32Array(places.length * pixels * 3),
    masks: new Uint8Array(places.length * pixels),
  };
  places.forEach((place, i) => {
    selected.images.set(images.subarray(place * pixels * 3, (place + 1) * pixels * 3), i * pixels * 3);
    selected.masks.set(masks.subarray(place * pixels, (place + 1) * pixels), i * pixels);
  });
  return selected;
}

function fillWhere(mask: Uint8Array, class_: number, isInside: Contains): void {
  for (let pixel = 0; pixel < mask.length; pixel++) {
    if (isInside(pixel % SIZE, Math.floor(pixel / SIZE))) {
      mask[pixel] = class_;
    }
  }
}

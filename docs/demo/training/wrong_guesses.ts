/** Test images that a network tells wrong. */

import { IMAGE_SIZE, type Samples } from '../../../examples/digits/samples.ts';
import type { PictureRow } from '../protocol.ts';

/** Images that are shown. */
const SHOWN = 8;
const PIXELS = IMAGE_SIZE ** 2;

/**
 * The first of the images that were told wrong, and how many there are.
 * @param guesses - what each image was taken for.
 */
export function wrongGuesses(name: string, { images, labels }: Samples, guesses: Uint8Array): PictureRow {
  const wrong = Array.from(labels.keys()).filter((n) => guesses[n] !== labels[n]);
  const pictures = wrong.slice(0, SHOWN).map((n) => ({
    kind: 'ink' as const,
    size: IMAGE_SIZE,
    pixels: shadesOf(images.subarray(n * PIXELS, (n + 1) * PIXELS)),
    caption: `${labels[n] ?? '?'} as ${guesses[n] ?? '?'}`,
  }));
  return { title: `${name}: ${wrong.length} of ${labels.length} wrong`, pictures };
}

/** From 0, the lightest, to 1, the darkest. */
function shadesOf(image: Float32Array): Float32Array {
  const [low, high] = [Math.min(...image), Math.max(...image)];
  return image.map((value) => (value - low) / (high - low || 1));
}

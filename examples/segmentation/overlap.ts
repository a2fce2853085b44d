/** How well masks agree: intersection over union. */

import { CLASSES } from './shapes.ts';

/** Pixels of each class, summed over images as they come. */
export class Overlap {
  readonly #common = new Float64Array(CLASSES);
  readonly #either = new Float64Array(CLASSES);

  /** Takes a mask that was predicted, and the true one. */
  add(predicted: Uint8Array, truth: Uint8Array): void {
    truth.forEach((class_, pixel) => {
      const other = predicted[pixel] ?? 0;
      this.#either[class_] = (this.#either[class_] ?? 0) + 1;
      if (other === class_) {
        this.#common[class_] = (this.#common[class_] ?? 0) + 1;
      } else {
        this.#either[other] = (this.#either[other] ?? 0) + 1;
      }
    });
  }

  /** Intersection over union of each class; NaN for one that nobody has. */
  get perClass(): readonly number[] {
    return Array.from(this.#common, (common, class_) => common / (this.#either[class_] ?? 0));
  }

  /** The mean over all classes that somebody has. */
  get mean(): number {
    const known = this.perClass.filter((share) => !Number.isNaN(share));
    return known.reduce((sum, share) => sum + share, 0) / known.length;
  }
}

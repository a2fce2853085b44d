/** What the example uses of the package `mnist`, which has no types of its own. */
declare module 'mnist' {
  /** The images of one digit. */
  interface Digit {
    readonly id: number;
    /** Pixels of all images, 28 × 28 each, from 0 (paper) to 1 (ink). */
    readonly raw: readonly number[];
  }
  const digits: readonly Digit[];
  export = digits;
}

/** Colours of the classes in pictures of masks, as Okabe and Ito have them: colour-blind readers tell them apart. */

type Colour = readonly [red: number, green: number, blue: number];

/** In order of the classes, from 0 to 255. */
export const CLASS_COLOURS: readonly [Colour, ...Colour[]] = [
  [0, 114, 178],
  [0, 158, 115],
  [230, 159, 0],
  [240, 228, 220],
];

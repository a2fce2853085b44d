/**
 * The digits of the demo page: some of the images of the package `mnist`, small enough to come with the page.
 */

import { createRequire } from 'node:module';
import { deflateSync } from 'node:zlib';

/** Images of each digit. */
const EACH = 220;
const DIGITS = 10;
const PIXELS = 28 * 28;
/** Shades that are kept of each pixel: the eye and the network tell no more apart. */
const SHADES = 16;

/**
 * @returns {{ shades: Uint8Array, labels: Uint8Array }} pixels from 0 (paper) to 255 (ink), image after image, and the digit that each shows
 */
export function demoDigits() {
  const require = createRequire(import.meta.url);
  const shades = new Uint8Array(DIGITS * EACH * PIXELS);
  const labels = Uint8Array.from({ length: DIGITS * EACH }, (_, i) => Math.floor(i / EACH));
  for (let digit = 0; digit < DIGITS; digit++) {
    const { data } = require(`mnist/src/digits/${digit}.json`);
    for (let i = 0; i < EACH * PIXELS; i++) {
      shades[digit * EACH * PIXELS + i] = Math.round(data[i] * (SHADES - 1)) * (255 / (SHADES - 1));
    }
  }
  return { shades, labels };
}

/** Makes `import { digits } from 'virtual:demo_digits'` give them, deflated, in Base64. */
export function demoDigitsPlugin() {
  const name = 'virtual:demo_digits';
  return {
    name: 'demo-digits',
    resolveId: (id) => (id === name ? `\0${name}` : null),
    load(id) {
      if (id !== `\0${name}`) return null;
      const { shades, labels } = demoDigits();
      const packed = deflateSync(Buffer.concat([labels, shades]), { level: 9 }).toString('base64');
      return `export const count = ${labels.length};\nexport const digits = '${packed}';\n`;
    },
  };
}

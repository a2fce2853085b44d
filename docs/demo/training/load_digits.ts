/** The digits that come with the page. */

import { count, digits } from 'virtual:demo_digits';
import type { DigitsData } from './digits_task.ts';

/** Unpacks them: one byte for each label, then one for each pixel. */
export async function loadDigits(): Promise<DigitsData> {
  const packed = Uint8Array.from(atob(digits), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return { labels: bytes.subarray(0, count), shades: bytes.subarray(count) };
}

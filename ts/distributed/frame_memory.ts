/** Memory for frames, which is used again where the transport has copied what was in it: fresh memory takes far longer to get than to fill. */

import { atEndOfTick } from '../end_of_tick.ts';
import type { Transport } from './transport.ts';

/** Shorter frames are made anew, unless their memory is free at once. */
const LONG_BYTES = 2 ** 15;
/** So many buffers are kept, as many as are on their way between two answers. */
const MOST_KEPT = 8;

export class FrameMemory {
  readonly #copies: Transport['copiesFrames'];
  readonly #longest: number;
  #free: Uint8Array[] = [];
  /** What was taken in this tick. */
  #taken: Uint8Array[] = [];

  /** @param longest - no frame has more bytes. */
  constructor(copies: Transport['copiesFrames'], longest: number) {
    this.#copies = copies;
    this.#longest = longest;
  }

  /** Memory for a frame that is sent before another is taken. */
  take(length: number): Uint8Array {
    if (this.#copies === undefined || (this.#copies === 'soon' && length < LONG_BYTES)) {
      return new Uint8Array(length);
    }
    const buffer = this.#free.pop() ?? new Uint8Array(this.#longest);
    if (this.#copies === 'at once') {
      this.#free.push(buffer);
    } else {
      this.#keepForThisTick(buffer);
    }
    return buffer.subarray(0, length);
  }

  #keepForThisTick(buffer: Uint8Array): void {
    this.#taken.push(buffer);
    if (this.#taken.length === 1) {
      atEndOfTick(() => {
        this.#free = [...this.#free, ...this.#taken].slice(0, MOST_KEPT);
        this.#taken = [];
      });
    }
  }
}

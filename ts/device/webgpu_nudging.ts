/**
 * Answers of the GPU, sooner. A browser looks whether the GPU is done when commands come, and otherwise only now and then: Chromium
 * every 2.5 ms, Firefox every 100 ms. A layer that waits for statistics would wait that long each time, so empty submits make it
 * look. Dawn in Node looks by itself.
 */

/** Turns of the event loop, of some 10 µs each, between two looks: less would keep the browser from doing anything else. */
const TURNS_PER_LOOK = 8;
/** How many looks follow each other so closely: most layers take less. */
const CLOSE_LOOKS = 32;
/** Milliseconds between two looks afterwards. */
const WIDE_GAP_MS = 4;

export class Nudging {
  readonly #queue: GPUQueue;
  readonly #later: typeof setTimeout;
  #waiting = 0;
  #turns = 0;
  #isLooking = false;

  constructor(queue: GPUQueue, later = setTimeout) {
    this.#queue = queue;
    this.#later = later;
  }

  /** Waits for an answer, and makes the browser look for it meanwhile. */
  async hasten<T>(answer: Promise<T>): Promise<T> {
    this.#waiting += 1;
    this.#turns = 0;
    this.#begin();
    try {
      return await answer;
    } finally {
      this.#waiting -= 1;
    }
  }

  #begin(): void {
    if (this.#isLooking) {
      return;
    }
    this.#isLooking = true;
    // Timers would wait for at least as long as Chromium does.
    const { port1, port2 } = new MessageChannel();
    const later = this.#later;
    const goOn = (): void => {
      if (this.#waiting === 0) {
        this.#isLooking = false;
        port1.close();
        return;
      }
      this.#turns += 1;
      const isClose = this.#turns <= TURNS_PER_LOOK * CLOSE_LOOKS;
      if (!isClose || this.#turns % TURNS_PER_LOOK === 0) {
        this.#queue.submit([]);
      }
      if (isClose) {
        port2.postMessage(null);
      } else {
        later(goOn, WIDE_GAP_MS);
      }
    };
    port1.onmessage = goOn;
    port2.postMessage(null);
  }
}

/**
 * Answers of the GPU, sooner. A browser looks whether the GPU is done when commands come, and otherwise only now and then: Chromium
 * every 2.5 ms, Firefox every 100 ms. A layer that waits for statistics would wait that long each time, so empty submits make it
 * look. Dawn in Node looks by itself.
 */

/** Time between two looks, in milliseconds: less would keep the browser from doing anything else. */
const GAP_MS = 0.1;
/** How long the looks follow each other so closely: most layers take less. */
const CLOSE_MS = 3;
/** Time between two looks afterwards. */
const WIDE_GAP_MS = 4;

export class Nudging {
  readonly #queue: GPUQueue;
  #waiting = 0;
  #since = 0;
  #lastLook = 0;
  #isLooking = false;

  constructor(queue: GPUQueue) {
    this.#queue = queue;
  }

  /** Waits for an answer, and makes the browser look for it meanwhile. */
  async hasten<T>(answer: Promise<T>): Promise<T> {
    this.#waiting += 1;
    this.#since = performance.now();
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
    const goOn = (): void => {
      const now = performance.now();
      if (this.#waiting === 0) {
        this.#isLooking = false;
        port1.close();
        return;
      }
      if (now - this.#lastLook >= GAP_MS) {
        this.#lastLook = now;
        this.#queue.submit([]);
      }
      if (now - this.#since < CLOSE_MS) {
        port2.postMessage(null);
      } else {
        setTimeout(goOn, WIDE_GAP_MS);
      }
    };
    port1.onmessage = goOn;
    port2.postMessage(null);
  }
}

/** Which commands share a submit: those of one run of code, without a pause between. */

import type { GpuKernels } from '../wasm/gpu_kernels.ts';

export class Holding {
  readonly #kernels: GpuKernels;
  readonly #isAllowed: boolean;
  #isHolding = false;

  /** @param isAllowed - not on a device whose owner may look at its queue at any time. */
  constructor(kernels: GpuKernels, isAllowed: boolean) {
    this.#kernels = kernels;
    this.#isAllowed = isAllowed;
  }

  /** Holds commands until the code that runs now has ended. */
  begin(): void {
    if (this.#isHolding || !this.#isAllowed) {
      return;
    }
    this.#isHolding = true;
    this.#kernels.hold();
    queueMicrotask(() => {
      this.#isHolding = false;
      this.#kernels.flush();
    });
  }
}

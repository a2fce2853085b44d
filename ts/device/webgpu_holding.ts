/**
 * Which commands share a submit. The first ones of a tick are submitted when the code that gives them pauses, so that the device
 * begins; all others at the end of the tick, such as those of the layers of a forward pass, each of which awaits the one before. The
 * kernels themselves submit when there are many.
 */

import type { GpuKernels } from '../wasm/gpu_kernels.ts';
import { atEndOfTick } from '../end_of_tick.ts';
import type { WebGpuFailures } from './webgpu_failures.ts';

export class Holding {
  readonly #kernels: GpuKernels;
  readonly #failures: WebGpuFailures;
  readonly #isAllowed: boolean;
  #isHolding = false;

  /** @param isAllowed - not on a device whose owner may look at its queue at any time. */
  constructor(kernels: GpuKernels, failures: WebGpuFailures, isAllowed: boolean) {
    this.#kernels = kernels;
    this.#failures = failures;
    this.#isAllowed = isAllowed;
  }

  /** Holds commands until the end of the tick. */
  begin(): void {
    if (this.#isHolding || !this.#isAllowed) {
      return;
    }
    this.#isHolding = true;
    this.#kernels.hold();
    queueMicrotask(() => this.#submitFirst());
    atEndOfTick(() => {
      this.#isHolding = false;
      this.#flush();
    });
  }

  #submitFirst(): void {
    this.#flush();
    if (this.#isHolding && !this.#failures.hasTrapped) {
      this.#kernels.hold();
    }
  }

  #flush(): void {
    if (!this.#failures.hasTrapped) {
      this.#kernels.flush();
    }
  }
}

/** Where the words and bytes of calls cross into an instance of the CPU kernels, and those of results out of it. */

import type { bindings } from './generated/cpu_glue.js';

/**
 * Views of the instance's memory that are kept from call to call: bindings that copy arrays into memory and free it again take longer than
 * a small kernel. When the memory grows views are detached, and made anew.
 */
export class CallMemory {
  readonly #kernels: bindings.CpuKernels;
  readonly #memory: WebAssembly.Memory;
  readonly #wordsAddress: number;
  #all: Uint8Array;
  #words: Float64Array;
  /** Where bytes have their place, and for how many there is room. */
  #bytesAddress = 0;
  #bytesRoom = 0;

  constructor(kernels: bindings.CpuKernels, memory: WebAssembly.Memory) {
    this.#kernels = kernels;
    this.#memory = memory;
    this.#wordsAddress = kernels.wordsAddress;
    this.#all = new Uint8Array(memory.buffer);
    this.#words = new Float64Array(memory.buffer, this.#wordsAddress);
  }

  /** The words of the next call, from the first on. */
  get words(): Float64Array {
    this.#renew();
    return this.#words;
  }

  /** Puts bytes where the next call finds them. @returns how many */
  put(bytes: Uint8Array): number {
    const { length } = bytes;
    if (length > this.#bytesRoom) {
      this.#bytesAddress = this.#kernels.roomForBytes(length);
      this.#bytesRoom = length;
    }
    if (length > 0) {
      this.#renew();
      this.#all.set(bytes, this.#bytesAddress);
    }
    return length;
  }

  /** The partial of so many bytes that the latest reduction has made, until the next call. */
  partial(length: number): Uint8Array {
    this.#renew();
    const { partialAddress } = this.#kernels;
    return this.#all.subarray(partialAddress, partialAddress + length);
  }

  #renew(): void {
    // Views that are detached are empty.
    if (this.#all.length === 0) {
      const { buffer } = this.#memory;
      this.#all = new Uint8Array(buffer);
      this.#words = new Float64Array(buffer, this.#wordsAddress);
    }
  }
}

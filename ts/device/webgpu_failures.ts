/** What can go wrong on a WebGPU device, as the library's errors. A device is lost once, and says the same ever after. */

import {
  DeviceLimitError,
  DeviceLostError,
  NoAdapterError,
  OutOfMemoryError,
  PartialError,
  ValidationError,
} from '../errors.ts';
import { type GpuFailure, isGpuFailure } from '../wasm/gpu_kernels.ts';

export class WebGpuFailures {
  readonly #device: string;
  #lost: DeviceLostError | null = null;
  #hasTrapped = false;
  /** What the device holds: a platform that has no room does not tell. */
  bytesInUse: () => number = () => 0;
  /** Called once, when the device is lost. */
  whenLost: () => void = () => undefined;

  /** @param device - its name. */
  constructor(device: string) {
    this.#device = device;
  }

  /** The device is gone. What is told first stays. */
  lose(operation: string, cause: unknown): DeviceLostError {
    if (this.#lost === null) {
      this.#lost = new DeviceLostError(this.#device, operation, { cause });
      this.whenLost();
    }
    return this.#lost;
  }

  get isLost(): boolean {
    return this.#lost !== null;
  }

  /** @throws DeviceLostError once the device is lost. */
  check(): void {
    if (this.#lost !== null) {
      throw this.#lost;
    }
  }

  /** Whether a call has ended in the middle. What the kernels keep of the device is not asked for anything then. */
  get hasTrapped(): boolean {
    return this.#hasTrapped;
  }

  /** The library's error for what a kernel threw; anything unknown is returned as it is. A trap loses the device. */
  translate(error: unknown, operation: string): unknown {
    if (error instanceof WebAssembly.RuntimeError) {
      this.#hasTrapped = true;
      return this.lose(operation, error);
    }
    return isGpuFailure(error) ? this.#errorOf(error, operation) : error;
  }

  #errorOf(failure: GpuFailure, operation: string): unknown {
    const device = this.#device;
    const { wanted = 0, granted = 0, bytesWanted = 0, bytesInUse = this.bytesInUse() } = failure;
    const options = { cause: failure };
    switch (failure.kind) {
      case 'no_adapter':
      case 'no_device':
        return new NoAdapterError(device, options);
      case 'limit':
        return new DeviceLimitError(device, 'maxStorageBufferBindingSize', wanted, granted, options);
      case 'lost':
        return this.lose(operation, failure);
      case 'validation':
        return new ValidationError(device, options);
      case 'adapter_out_of_memory':
      case 'out_of_memory':
        return new OutOfMemoryError(device, bytesWanted, bytesInUse, options);
      case 'partial':
        return new PartialError(failure.message, options);
      case 'unknown_buffer':
      case 'argument':
        return new RangeError(`device ${device}: ${failure.message}`, options);
      default:
        failure.kind satisfies never;
        return failure;
    }
  }
}

/** What can go wrong on a WebGPU device, as the library's errors. A device is lost once, and says the same ever after. */

import type { DeviceLostError } from '../errors.ts';
import { type GpuFailure, isGpuFailure } from '../wasm/gpu_kernels.ts';
import type { Essentials } from './lazy_device.ts';

export class WebGpuFailures {
  readonly #device: string;
  readonly #errors: Essentials['errors'];
  #lost: DeviceLostError | null = null;
  #hasTrapped = false;
  /** What the device holds: a platform that has no room does not tell. */
  bytesInUse: () => number = () => 0;
  /** Called once, when the device is lost. */
  whenLost: () => void = () => undefined;

  /** @param device - its name. */
  constructor(device: string, errors: Essentials['errors']) {
    this.#device = device;
    this.#errors = errors;
  }

  /** The device is gone. What is told first stays. */
  lose(operation: string, cause: unknown): DeviceLostError {
    if (this.#lost === null) {
      this.#lost = new this.#errors.DeviceLostError(this.#device, operation, { cause });
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

  /** Layers and functions refuse it before; this is for who calls a device by itself. */
  torchNumerics(): RangeError {
    return new RangeError(
      `device ${this.#device}: numerics 'torch' reproduces the results of PyTorch's CPU kernels and exists on CPU devices only`,
    );
  }

  #errorOf(failure: GpuFailure, operation: string): unknown {
    const device = this.#device;
    const { NoAdapterError, DeviceLimitError, ValidationError, OutOfMemoryError, PartialError } = this.#errors;
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

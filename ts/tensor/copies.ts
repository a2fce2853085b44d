/** Copies of a tensor's memory on other devices, kept so that what has not changed is not sent again. */

import type { Device } from '../device/device.ts';
import type { Storage } from './storage.ts';
import { copyTo } from './storage_ops.ts';

/**
 * Belongs to one tensor for as long as that has the same memory. The library does not write over that memory, so a copy stays right.
 * Where somebody outside may write to the memory, or to a copy, copies are made anew each time.
 */
export class Copies {
  readonly #source: Storage;
  /** By names of devices, so that what a lost device held makes way for what its successor holds. */
  readonly #kept = new Map<string, Storage>();
  #isReleased = false;

  constructor(source: Storage) {
    this.#source = source;
  }

  /** The values on a device, as a reference that the caller must release; at once where they are there. */
  on(device: Device): Storage | Promise<Storage> {
    const known = this.#source.device === device ? this.#source : this.#kept.get(device.name);
    if (known === this.#source || (known?.device === device && this.#staysRight(known))) {
      return known.retain();
    }
    return this.#send(device);
  }

  async #send(device: Device): Promise<Storage> {
    const copy = await copyTo(this.#source, device);
    // Meanwhile the tensor may have got other memory, of which this is no copy.
    if (!this.#isReleased && this.#staysRight(copy)) {
      this.keep(copy);
    }
    return copy;
  }

  /** The copies that are kept now. */
  get kept(): readonly Storage[] {
    return [...this.#kept.values()];
  }

  /** Keeps a copy that was made elsewhere. */
  keep(copy: Storage): void {
    const { name } = copy.device;
    this.#kept.get(name)?.release();
    this.#kept.set(name, copy.retain());
  }

  /** Whether memory is the tensor's own or one of its copies. */
  has(memory: Storage): boolean {
    return memory === this.#source || memory === this.#kept.get(memory.device.name);
  }

  /** Gives the copies back, but for what others hold of them. */
  release(): void {
    this.#isReleased = true;
    this.#kept.forEach((copy) => copy.release());
    this.#kept.clear();
  }

  #staysRight(copy: Storage): boolean {
    return !this.#source.isExposed && !copy.isExposed;
  }
}

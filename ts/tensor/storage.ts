/**
 * Memory shared by tensors: a buffer on a device, or data on the host that waits for the device to be ready.
 *
 * Storages are counted: every tensor and every graph node that needs one holds a reference, and the memory goes back to
 * the device with the last one. A storage that becomes unreachable while it is held is freed by the finalizer; that is a
 * safety net, not a way to live.
 */

import type { Device, DeviceBuffer } from '../device/device.ts';
import { atEndOfTick } from '../end_of_tick.ts';

const finalizer = new FinalizationRegistry<DeviceBuffer>((buffer) => {
  try {
    buffer.device.release(buffer);
  } catch {
    // Nobody can catch what a finalizer throws: Node would end the process. The next command tells what is wrong with the device.
  }
});

/** How many storages wait for the end of the tick, at most, until the finalizer watches them. */
const MOST_UNWATCHED = 1024;

/** Writes data into a buffer of its length in the order of memory. */
type Arrange = (buffer: DeviceBuffer, data: Float32Array) => void;

/** What waits for its device. */
interface Pending {
  /** `null`: memory of undefined contents. */
  readonly data: Float32Array | null;
  /** `null`: the data is in the order of memory already. */
  readonly arrange: Arrange | null;
}

export class Storage {
  /**
   * Those that got their memory in this tick. At its end the finalizer begins to watch those that have it still, which are few: the engine takes as long to
   * watch one, and to collect what it keeps for that, as a small layer takes for a step.
   */
  static #unwatched: Storage[] = [];

  readonly device: Device;
  /** Number of f32 values. */
  readonly length: number;
  /** What the values were computed from, when that was the same on several devices: equal origin, equal values. */
  origin: object | null = null;
  #references = 1;
  #isExposed = false;
  #isWatched = false;
  #buffer: DeviceBuffer | null = null;
  #pending: Pending | null = null;

  private constructor(device: Device, length: number) {
    this.device = device;
    this.length = length;
  }

  /** Fresh memory on a ready device, contents undefined. */
  static allocate(device: Device, length: number): Storage {
    return Storage.of(device.allocate(length));
  }

  /** A buffer of a ready device, which the storage takes over. */
  static of(buffer: DeviceBuffer): Storage {
    const storage = new Storage(buffer.device, buffer.length);
    storage.#adopt(buffer);
    return storage;
  }

  /** A buffer that belongs to somebody else, who may write to it at any time. The storage only reads it. */
  static adopt(buffer: DeviceBuffer): Storage {
    const storage = Storage.of(buffer);
    storage.expose();
    return storage;
  }

  /**
   * Data that is placed at once when the device is ready, else with the first use.
   * @param arrange - writes the data into the buffer; `null`: it is in the order of memory.
   */
  static from(device: Device, data: Float32Array, arrange: Arrange | null = null): Storage {
    const storage = new Storage(device, data.length);
    if (device.isReady) {
      storage.#place({ data, arrange });
    } else {
      // The caller may change the array before the device is ready; the values of now are the ones meant.
      storage.#pending = { data: data.slice(), arrange };
    }
    return storage;
  }

  /** Memory of undefined contents: taken at once when the device is ready, else with the first use. */
  static unfilled(device: Device, length: number): Storage {
    const storage = new Storage(device, length);
    const nothing = { data: null, arrange: null };
    if (device.isReady) {
      storage.#place(nothing);
    } else {
      storage.#pending = nothing;
    }
    return storage;
  }

  /** Whether there is no memory on the device yet. */
  get isPending(): boolean {
    return this.#pending !== null;
  }

  /** Data that still waits on the host, where that is in the order of memory. */
  get pendingData(): Float32Array | null {
    return this.#pending?.arrange === null ? this.#pending.data : null;
  }

  /** The memory itself; places waiting data. The device must be ready. */
  get buffer(): DeviceBuffer {
    if (this.#buffer !== null) {
      return this.#buffer;
    }
    if (this.#pending === null) {
      throw new Error('a storage was used after its last reference had been released');
    }
    return this.#place(this.#pending);
  }

  /**
   * Whether somebody outside the library has the memory, by adoption or as a `GPUBuffer` that was handed out, and may write to
   * it. So no copy of its values stays right.
   */
  get isExposed(): boolean {
    return this.#isExposed;
  }

  /** Notes that somebody outside the library has the memory from now on. */
  expose(): void {
    this.#isExposed = true;
    // The values may change, so they no longer are what they were computed to be.
    this.origin = null;
  }

  /**
   * Whether a result may be written over the values: one holder alone uses the memory, and nobody outside the library has it.
   * This is the one rule; whoever reuses memory asks here.
   */
  get isOverwritable(): boolean {
    return this.#references === 1 && !this.#isExposed;
  }

  retain(): this {
    this.#references += 1;
    return this;
  }

  /** @throws Error when there is no reference left to give up. */
  release(): void {
    if (this.#references === 0) {
      throw new Error('a storage was released more often than it was retained');
    }
    this.#references -= 1;
    if (this.#references > 0) {
      return;
    }
    this.#pending = null;
    if (this.#buffer !== null) {
      if (this.#isWatched) {
        finalizer.unregister(this);
      }
      const buffer = this.#buffer;
      this.#buffer = null;
      this.device.release(buffer);
    }
  }

  /** Nothing is lost when the device has no room: the data keeps waiting. */
  #place({ data, arrange }: Pending): DeviceBuffer {
    const buffer = this.device.allocate(this.length);
    try {
      if (data !== null && arrange !== null) {
        arrange(buffer, data);
      } else if (data !== null) {
        this.device.write(buffer, data);
      }
    } catch (error) {
      this.device.release(buffer);
      throw error;
    }
    this.#pending = null;
    this.#adopt(buffer);
    return buffer;
  }

  #adopt(buffer: DeviceBuffer): void {
    this.#buffer = buffer;
    if (Storage.#unwatched.length === 0) {
      atEndOfTick(() => Storage.#watch());
    } else if (Storage.#unwatched.length === MOST_UNWATCHED) {
      Storage.#watch();
    }
    Storage.#unwatched.push(this);
  }

  static #watch(): void {
    const storages = Storage.#unwatched;
    Storage.#unwatched = [];
    for (const storage of storages) {
      if (storage.#buffer !== null) {
        storage.#isWatched = true;
        finalizer.register(storage, storage.#buffer, storage);
      }
    }
  }
}

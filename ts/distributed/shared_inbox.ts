/**
 * Frames between threads through memory that they share: much faster than messages, as long as both threads run. Each thread has an inbox with a ring for
 * each other one, which alone writes into it. Whoever waits looks there for a moment before it gives its thread away; one that has done so
 * is asleep, and is woken up by a message.
 *
 * A frame is seen when it is whole, since the writer's position is set last: a thread that ends in the middle of one leaves nothing. What has no
 * room is refused, and goes another way. What is in the memory is not believed: a length that cannot be drops what is in the ring.
 */

import { newBytes } from './new_bytes.ts';
import { INBOX_HEAD, inboxWords, LINE, RING_HEAD, ringBytes } from './ports_memory.ts';

const WRITTEN = 0;
const READ = LINE;
const ASLEEP = 0;

/** Engines copy shared memory byte by byte where it is not aligned to this. */
const UNIT = 8;

/** The inbox of one thread. */
export class SharedInbox {
  readonly #asleep: Int32Array;
  /** Of all other threads; `null` in the place of this one. */
  readonly #rings: readonly (Ring | null)[];

  /** @param memory - what `portsMemory()` has made for `size` threads. @param owner - whose inbox it is. */
  constructor(memory: SharedArrayBuffer, size: number, owner: number) {
    const first = owner * inboxWords(size);
    const ringWords = RING_HEAD + ringBytes(size) / 4;
    this.#asleep = new Int32Array(memory, 4 * (first + ASLEEP), 1);
    this.#rings = Array.from({ length: size }, (_, from) =>
      from === owner ? null : new Ring(memory, 4 * (first + INBOX_HEAD + from * ringWords), ringBytes(size)),
    );
  }

  /** @returns whether there was room. */
  write(from: number, frame: Uint8Array): boolean {
    return this.#rings[from]?.write(frame) ?? false;
  }

  /** Takes all frames that are there. @returns how many. */
  drain(receive: (frame: Uint8Array) => void): number {
    let count = 0;
    for (const ring of this.#rings) {
      for (let frame = ring?.read() ?? null; frame !== null; frame = ring?.read() ?? null) {
        count += 1;
        receive(frame);
      }
    }
    return count;
  }

  /** From now on, whoever writes wakes the owner up. What was written before may not have been seen yet. */
  sleep(): void {
    Atomics.store(this.#asleep, 0, 1);
  }

  awake(): void {
    Atomics.store(this.#asleep, 0, 0);
  }

  /** @returns whether the owner has to be woken up, which one of all threads is told. */
  mustWake(): boolean {
    return Atomics.load(this.#asleep, 0) === 1 && Atomics.exchange(this.#asleep, 0, 0) === 1;
  }
}

/** Of one writer and one reader. Positions count bytes, modulo 2³². */
class Ring {
  readonly #positions: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer, at: number, capacity: number) {
    this.#positions = new Int32Array(memory, at, RING_HEAD);
    this.#bytes = new Uint8Array(memory, at + 4 * RING_HEAD, capacity);
    this.#words = new Int32Array(memory, at + 4 * RING_HEAD, capacity / 4);
  }

  write(frame: Uint8Array): boolean {
    const written = Atomics.load(this.#positions, WRITTEN);
    const used = (written - Atomics.load(this.#positions, READ)) >>> 0;
    const length = recordBytes(frame.length);
    if (used + length > this.#bytes.length) {
      return false;
    }
    this.#words[(written >>> 2) & (this.#words.length - 1)] = frame.length;
    const at = (written + UNIT) & (this.#bytes.length - 1);
    const rest = this.#bytes.length - at;
    if (frame.length <= rest) {
      this.#bytes.set(frame, at);
    } else {
      this.#bytes.set(frame.subarray(0, rest), at);
      this.#bytes.set(frame.subarray(rest), 0);
    }
    Atomics.store(this.#positions, WRITTEN, written + length);
    return true;
  }

  /** @returns `null`: there is none; no bytes: what was there is damaged. */
  read(): Uint8Array | null {
    const read = Atomics.load(this.#positions, READ);
    const written = Atomics.load(this.#positions, WRITTEN);
    if (written === read) {
      return null;
    }
    const used = (written - read) >>> 0;
    const length = this.#words[(read >>> 2) & (this.#words.length - 1)] ?? 0;
    if (length < 0 || used > this.#bytes.length || recordBytes(length) > used || read % UNIT !== 0) {
      Atomics.store(this.#positions, READ, written);
      return new Uint8Array();
    }
    const frame = newBytes(length);
    const at = (read + UNIT) & (this.#bytes.length - 1);
    const rest = this.#bytes.length - at;
    if (length <= rest) {
      frame.set(this.#bytes.subarray(at, at + length));
    } else {
      frame.set(this.#bytes.subarray(at));
      frame.set(this.#bytes.subarray(0, length - rest), rest);
    }
    Atomics.store(this.#positions, READ, read + recordBytes(length));
    return frame;
  }
}

/** The length and the bytes of a frame, as whole units. */
function recordBytes(length: number): number {
  return UNIT + ((length + UNIT - 1) & -UNIT);
}

/**
 * Memory that a worker shares with the calling thread, where threads may share any: the worker sleeps on it between commands,
 * and small messages lie in it. Waking a sleeper takes two thirds of the time that a posted message takes.
 *
 * Messages are numbered from 1. A small one is put into the slot, if the slot is free; any other is posted. Either way the number of messages given is raised, so that a sleeping worker wakes, and takes the next message
 * from the slot or, when it is not there, returns to its event loop, where the posted one arrives.
 */

import type { CommandMessage, Part, SharedPart } from './worker_protocol.ts';

/** Room for the text and the arrays of a message. */
const SLOT_BYTES = 128 * 1024;
/** A message of more arrays is posted. */
const MOST_PARTS = 16;

/** Places in the header, which is of i32. */
const GIVEN = 0;
const NUMBER_IN_SLOT = 1;
const TEXT_BYTES = 2;
const PARTS = 3;
/** One place per part: its bytes, negative for f32. */
const FIRST_PART = 4;
const HEADER_PLACES = FIRST_PART + MOST_PARTS;

/** Parts begin at multiples of this. */
const ALIGNMENT = 4;

export class SharedSlot {
  readonly memory: SharedArrayBuffer;
  readonly #header: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#header = new Int32Array(memory, 0, HEADER_PLACES);
    this.#bytes = new Uint8Array(memory, HEADER_PLACES * Int32Array.BYTES_PER_ELEMENT, SLOT_BYTES);
  }

  /** A new slot; `null` where threads may not share memory, as in pages that are not cross-origin isolated. */
  static create(): SharedSlot | null {
    return typeof SharedArrayBuffer === 'undefined'
      ? null
      : new SharedSlot(new SharedArrayBuffer(HEADER_PLACES * Int32Array.BYTES_PER_ELEMENT + SLOT_BYTES));
  }

  /** Wakes the worker, once a message has been put or posted. */
  announce(): void {
    Atomics.add(this.#header, GIVEN, 1);
    Atomics.notify(this.#header, GIVEN);
  }

  /**
   * Puts the next message into the slot.
   * @returns whether it was free and the message fits. Memory that shall stay shared does not.
   */
  put({ lines, parts }: CommandMessage): boolean {
    const size = parts.reduce((sum, part) => sum + aligned(part.byteLength), aligned(lines.length));
    const isTooLarge = parts.length > MOST_PARTS || size > SLOT_BYTES;
    if (isTooLarge || parts.some(isShared) || Atomics.load(this.#header, NUMBER_IN_SLOT) !== 0) {
      return false;
    }
    // The text is ASCII: names of operations and numbers.
    for (let i = 0; i < lines.length; i += 1) {
      this.#bytes[i] = lines.charCodeAt(i);
    }
    let end = aligned(lines.length);
    parts.forEach((part, i) => {
      this.#bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), end);
      this.#header[FIRST_PART + i] = part instanceof Float32Array ? -part.byteLength : part.byteLength;
      end += aligned(part.byteLength);
    });
    this.#header[TEXT_BYTES] = lines.length;
    this.#header[PARTS] = parts.length;
    Atomics.store(this.#header, NUMBER_IN_SLOT, Atomics.load(this.#header, GIVEN) + 1);
    return true;
  }

  /** Takes message `number` out of the slot; `null` when it is not there. */
  take(number: number): CommandMessage | null {
    if (Atomics.load(this.#header, NUMBER_IN_SLOT) !== number) {
      return null;
    }
    const textBytes = this.#header[TEXT_BYTES] ?? 0;
    const lines = new TextDecoder().decode(this.#bytes.slice(0, textBytes));
    const parts: Part[] = [];
    let end = aligned(textBytes);
    for (const length of this.#header.subarray(FIRST_PART, FIRST_PART + (this.#header[PARTS] ?? 0))) {
      const bytes = this.#bytes.slice(end, end + Math.abs(length));
      parts.push(length < 0 ? new Float32Array(bytes.buffer) : bytes);
      end += aligned(bytes.length);
    }
    Atomics.store(this.#header, NUMBER_IN_SLOT, 0);
    return { lines, parts };
  }

  /** Sleeps until more than `taken` messages have been given. */
  waitForMore(taken: number): void {
    // A message is counted before its sleeper is woken. One that was awake has taken it by then, and may sleep again.
    while (Atomics.load(this.#header, GIVEN) === taken) {
      Atomics.wait(this.#header, GIVEN, taken);
    }
  }
}

/** Whether an array lies in memory that threads share. */
export function isShared(part: Part | SharedPart): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && part.buffer instanceof SharedArrayBuffer;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/**
 * Memory that a worker shares with the calling thread, where threads may share any: the worker sleeps on it between commands,
 * and small messages lie in it. Waking a sleeper takes two thirds of the time that a posted message takes.
 *
 * Messages are numbered from 1. A small one is put into the slot, if the slot is free; any other is posted. Either way the number of
 * messages given is raised, so that a sleeping worker wakes, and takes the next message from the slot or, when it is not there,
 * returns to its event loop, where the posted one arrives. Numbers run over after 2^31 messages; their differences do not.
 */

import { isFloat32Array } from '../typed_array.ts';
import type { CommandMessage, Part, SharedPart } from './worker_protocol.ts';

/** Room for the words and the arrays of a message. From here on giving memory away takes less than copying it twice. */
const SLOT_BYTES = 8 * 1024;
/** A message of more arrays is posted. */
const MOST_PARTS = 16;

/** Places in the header, which is of i32. */
const GIVEN = 0;
const IS_FULL = 1;
const NUMBER_IN_SLOT = 2;
const WORDS = 3;
const PARTS = 4;
/** One place per part: its bytes, negative for f32. */
const FIRST_PART = 5;
const HEADER_PLACES = FIRST_PART + MOST_PARTS;
const HEADER_BYTES = HEADER_PLACES * Int32Array.BYTES_PER_ELEMENT;

/** Parts begin at multiples of this: memory that threads share is copied by words then, and byte by byte otherwise. */
const ALIGNMENT = 8;

/** What one side sees of a slot: the calling thread gives, the worker takes. */
export class SharedSlot {
  readonly memory: SharedArrayBuffer;
  readonly #header: Int32Array;
  readonly #bytes: Uint8Array;
  /** The same memory: the words come first. */
  readonly #words: Float64Array;
  #taken: number;

  /** Takes what is given from now on. */
  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#header = new Int32Array(memory, 0, HEADER_PLACES);
    this.#taken = Atomics.load(this.#header, GIVEN);
    this.#bytes = new Uint8Array(memory, aligned(HEADER_BYTES), SLOT_BYTES);
    this.#words = new Float64Array(memory, aligned(HEADER_BYTES), SLOT_BYTES / Float64Array.BYTES_PER_ELEMENT);
  }

  /** A new slot; `null` where threads may not share memory, as in pages that are not cross-origin isolated. */
  static create(): SharedSlot | null {
    return typeof SharedArrayBuffer === 'undefined'
      ? null
      : new SharedSlot(new SharedArrayBuffer(aligned(HEADER_BYTES) + SLOT_BYTES));
  }

  /** Counts a message that has been put or posted, and wakes the worker. */
  announce(): void {
    Atomics.add(this.#header, GIVEN, 1);
    Atomics.notify(this.#header, GIVEN);
  }

  /**
   * Puts the next message into the slot.
   * @returns whether it was free and the message fits. Memory that shall stay shared does not.
   */
  put({ words, parts }: CommandMessage): boolean {
    const size = parts.reduce((sum, part) => sum + aligned(part.byteLength), words.byteLength);
    const isTooLarge = parts.length > MOST_PARTS || size > SLOT_BYTES;
    if (isTooLarge || parts.some(isShared) || Atomics.load(this.#header, IS_FULL) !== 0) {
      return false;
    }
    this.#words.set(words);
    let end = words.byteLength;
    parts.forEach((part, i) => {
      this.#bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), end);
      this.#header[FIRST_PART + i] = isFloat32Array(part) ? -part.byteLength : part.byteLength;
      end += aligned(part.byteLength);
    });
    this.#header[WORDS] = words.length;
    this.#header[PARTS] = parts.length;
    this.#header[NUMBER_IN_SLOT] = next(Atomics.load(this.#header, GIVEN));
    Atomics.store(this.#header, IS_FULL, 1);
    return true;
  }

  /** Takes the next message out of the slot; `null` when it is not there. */
  take(): CommandMessage | null {
    const isThere = Atomics.load(this.#header, IS_FULL) !== 0 && this.#header[NUMBER_IN_SLOT] === next(this.#taken);
    if (!isThere) {
      return null;
    }
    const words = new Float64Array(this.#words.subarray(0, this.#header[WORDS] ?? 0));
    const parts: Part[] = [];
    let end = words.byteLength;
    for (const length of this.#header.subarray(FIRST_PART, FIRST_PART + (this.#header[PARTS] ?? 0))) {
      const bytes = this.#bytes.slice(end, end + Math.abs(length));
      parts.push(length < 0 ? new Float32Array(bytes.buffer) : bytes);
      end += aligned(bytes.length);
    }
    Atomics.store(this.#header, IS_FULL, 0);
    this.skip();
    return { words, parts };
  }

  /** The next message has been posted, and has arrived. */
  skip(): void {
    this.#taken = next(this.#taken);
  }

  /** Sleeps until a message has been given that has not been taken. */
  waitForMore(): void {
    // A message is counted before its sleeper is woken: one that was awake has taken it by then, and may sleep again. And it is
    // counted after it was posted: it may have arrived by then.
    let given = Atomics.load(this.#header, GIVEN);
    while (((given - this.#taken) | 0) <= 0) {
      Atomics.wait(this.#header, GIVEN, given);
      given = Atomics.load(this.#header, GIVEN);
    }
  }
}

/** Whether an array lies in memory that threads share. */
export function isShared(part: Part | SharedPart): boolean {
  return Object.prototype.toString.call(part.buffer) === '[object SharedArrayBuffer]';
}

/** The number after another one. */
function next(number: number): number {
  return (number + 1) | 0;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

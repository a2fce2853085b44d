/**
 * Memory that a worker shares with the calling thread, where threads may share any: small messages lie in it, one behind the other in a
 * ring, and the worker sleeps on it. Waking a sleeper takes two thirds of the time that a posted message takes, and a worker that is awake
 * finds the next message without any.
 *
 * Messages are numbered from 1. A small one is put into the ring, if there is room; any other is posted. Either way the number of messages
 * given is raised. The worker takes the next message from the ring or, when it is not there, returns to its event loop, where the posted one
 * arrives. Numbers run over after 2^31 messages; their differences do not.
 *
 * Who wakes whom: the worker says that it sleeps before it looks for the last time, and the calling thread raises the number before it looks
 * who sleeps. So one of the two sees what the other has done, and no message is left lying.
 */

import { isFloat32Array } from '../typed_array.ts';
import type { CommandMessage, Part, SharedPart } from './worker_protocol.ts';

/** Room for messages, a power of two. The commands of some hundred small layers. */
const RING_WORDS = 8 * 1024;
/** The longest message. From here on giving memory away takes less than copying it twice. */
const MOST_WORDS = 1024;

/** Places in the header, which is of i32, a line of cache apart: each side writes its own. */
const LINE = 16;
/** Messages that have been given. */
const GIVEN = 0;
/** Words that have been written into the ring since the beginning, and read. */
const WRITTEN = 1;
/** Whether the calling thread computes, as far as it has said. */
const IS_CALLER_BUSY = 2;
const READ = LINE;
const IS_ASLEEP = LINE + 1;
const HEADER_BYTES = 2 * LINE * Int32Array.BYTES_PER_ELEMENT;

/** A message in the ring begins with its number, the number of its words and that of its arrays; then come the bytes of each array, negative for f32. */
const HEAD_WORDS = 3;
/** In the place of a number: the next message lies at the beginning of the ring. */
const AT_BEGINNING = 0.5;

const WORD_BYTES = Float64Array.BYTES_PER_ELEMENT;

/** What one side sees of a ring: the calling thread gives, the worker takes. */
export class SharedRing {
  readonly memory: SharedArrayBuffer;
  readonly #header: Int32Array;
  readonly #words: Float64Array;
  /** The same memory. */
  readonly #bytes: Uint8Array;
  /** The calling thread's place, in words since the beginning. */
  #written = 0;
  /** The worker's: of the message that it takes next. */
  #read = 0;
  #taken: number;

  /** Takes what is given from now on. */
  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#header = new Int32Array(memory, 0, 2 * LINE);
    this.#taken = Atomics.load(this.#header, GIVEN);
    this.#words = new Float64Array(memory, HEADER_BYTES, RING_WORDS);
    this.#bytes = new Uint8Array(memory, HEADER_BYTES);
  }

  /** A new ring; `null` where threads may not share memory, as in pages that are not cross-origin isolated. */
  static create(): SharedRing | null {
    return typeof SharedArrayBuffer === 'undefined'
      ? null
      : new SharedRing(new SharedArrayBuffer(HEADER_BYTES + RING_WORDS * WORD_BYTES));
  }

  /**
   * Counts a message that has been put or posted. A worker that is asleep does not hear of it before {@link wake}.
   * @param isAwaited - whether the calling thread goes on when it has the answer, and not before; else it is busy until {@link rest}.
   */
  announce(isAwaited: boolean): void {
    Atomics.store(this.#header, IS_CALLER_BUSY, isAwaited ? 0 : 1);
    Atomics.add(this.#header, GIVEN, 1);
  }

  /** Says that the calling thread has nothing more to do. */
  rest(): void {
    Atomics.store(this.#header, IS_CALLER_BUSY, 0);
  }

  /** Whether the calling thread is busy, as far as it has said: it needs a core itself. */
  get isCallerBusy(): boolean {
    return Atomics.load(this.#header, IS_CALLER_BUSY) !== 0;
  }

  /** Wakes the worker if it sleeps, which takes as long as some commands of a small layer. */
  wake(): void {
    if (Atomics.load(this.#header, IS_ASLEEP) !== 0) {
      Atomics.notify(this.#header, GIVEN);
    }
  }

  /**
   * Puts the next message into the ring.
   * @returns whether there was room and the message is small. Memory that shall stay shared does not fit.
   */
  put({ words, parts }: CommandMessage): boolean {
    let size = HEAD_WORDS + parts.length + words.length;
    for (const part of parts) {
      size += wordsOf(part.byteLength);
    }
    const begin = size > MOST_WORDS || parts.some(isShared) ? null : this.#roomFor(size);
    if (begin === null) {
      return false;
    }
    this.#words[begin] = next(Atomics.load(this.#header, GIVEN));
    this.#words[begin + 1] = words.length;
    this.#words[begin + 2] = parts.length;
    let at = begin + HEAD_WORDS;
    for (const part of parts) {
      this.#words[at] = isFloat32Array(part) ? -part.byteLength : part.byteLength;
      at += 1;
    }
    this.#words.set(words, at);
    at += words.length;
    for (const part of parts) {
      this.#bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at * WORD_BYTES);
      at += wordsOf(part.byteLength);
    }
    const leftOut = placeOf(begin - this.#written);
    this.#written = (this.#written + leftOut + size) | 0;
    Atomics.store(this.#header, WRITTEN, this.#written);
    return true;
  }

  /**
   * Takes the next message out of the ring; `null` when it is not there.
   * @returns its words as they lie in the ring, until {@link waitForMore}.
   */
  take(): { readonly words: Float64Array; readonly parts: readonly Part[] } | null {
    if (this.#read === Atomics.load(this.#header, WRITTEN)) {
      return null;
    }
    let begin = placeOf(this.#read);
    if (this.#words[begin] === AT_BEGINNING) {
      this.#read = (this.#read + RING_WORDS - begin) | 0;
      begin = 0;
    }
    if (this.#words[begin] !== next(this.#taken)) {
      return null;
    }
    const wordCount = this.#words[begin + 1] ?? 0;
    const lengths = begin + HEAD_WORDS;
    const first = lengths + (this.#words[begin + 2] ?? 0);
    const parts: Part[] = [];
    let at = first + wordCount;
    for (let i = lengths; i < first; i += 1) {
      const length = this.#words[i] ?? 0;
      const bytes = this.#bytes.slice(at * WORD_BYTES, at * WORD_BYTES + Math.abs(length));
      parts.push(length < 0 ? new Float32Array(bytes.buffer) : bytes);
      at += wordsOf(bytes.length);
    }
    this.#read = (this.#read + at - begin) | 0;
    this.skip();
    return { words: this.#words.subarray(first, first + wordCount), parts };
  }

  /** The next message has been posted, and has arrived. */
  skip(): void {
    this.#taken = next(this.#taken);
  }

  /** Gives the room of what was taken back, and sleeps until a message has been given that has not been taken. */
  waitForMore(): void {
    Atomics.store(this.#header, READ, this.#read);
    if (this.#isMore(Atomics.load(this.#header, GIVEN))) {
      return;
    }
    Atomics.store(this.#header, IS_ASLEEP, 1);
    // A message is counted after it was posted: it may have arrived by then. And a sleeper may be woken late, for a message that it has
    // taken without having slept.
    for (;;) {
      const given = Atomics.load(this.#header, GIVEN);
      if (this.#isMore(given)) {
        break;
      }
      Atomics.wait(this.#header, GIVEN, given);
    }
    Atomics.store(this.#header, IS_ASLEEP, 0);
  }

  #isMore(given: number): boolean {
    return ((given - this.#taken) | 0) > 0;
  }

  /**
   * Where so many words have room end to end, `null` where they have none. What is left before the end of the ring is left out when it is
   * too short.
   */
  #roomFor(size: number): number | null {
    const begin = placeOf(this.#written);
    const rest = RING_WORDS - begin;
    const room = RING_WORDS - ((this.#written - Atomics.load(this.#header, READ)) | 0);
    if (rest >= size) {
      return room >= size ? begin : null;
    }
    if (room < rest + size) {
      return null;
    }
    this.#words[begin] = AT_BEGINNING;
    return 0;
  }
}

/** Whether an array lies in memory that threads share. */
export function isShared(part: Part | SharedPart): boolean {
  return Object.prototype.toString.call(part.buffer) === '[object SharedArrayBuffer]';
}

/** Where in the ring a word lies. */
function placeOf(position: number): number {
  return position & (RING_WORDS - 1);
}

/** The number after another one. */
function next(number: number): number {
  return (number + 1) | 0;
}

/** Words that so many bytes take: memory that threads share is copied by words where it begins at one, and byte by byte otherwise. */
function wordsOf(bytes: number): number {
  return Math.ceil(bytes / WORD_BYTES);
}

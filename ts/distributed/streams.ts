/**
 * The frames between two ranks in one direction: those that were sent and may have to be sent again, and those that have come and are
 * put back into order.
 */

import type { Frame } from './frame.ts';

/** A piece of a message, as it is kept until it has come everywhere. */
export type Piece = Pick<Frame, 'number' | 'piece' | 'pieces' | 'label' | 'body'>;

/** What is sent and not confirmed yet, at most, in bytes: a slow receiver is not flooded. */
export const WINDOW_BYTES = 8 * 2 ** 20;

/** Frames from this rank to one other, or to all. */
export class OutgoingStream {
  readonly #receivers: Map<number, number>;
  readonly #waiting: Piece[] = [];
  readonly #kept = new Map<number, Piece>();
  #count = 0;
  #firstKept = 0;
  #keptBytes = 0;

  constructor(receivers: readonly number[]) {
    this.#receivers = new Map(receivers.map((rank) => [rank, 0]));
  }

  /** How many frames have been sent. */
  get sent(): number {
    return this.#count - this.#waiting.length;
  }

  get isConfirmed(): boolean {
    return this.#receivers.size === 0 || (this.#waiting.length === 0 && this.#kept.size === 0);
  }

  /** Whether frames wait until others have been confirmed. */
  get isFull(): boolean {
    return this.#waiting.length > 0;
  }

  /** @param bytes - belong to the stream from now on. */
  add(label: string, bytes: Uint8Array, pieceBytes: number): void {
    const pieces = Math.max(1, Math.ceil(bytes.length / pieceBytes));
    for (let piece = 0; piece < pieces; piece += 1) {
      const body = bytes.subarray(piece * pieceBytes, (piece + 1) * pieceBytes);
      this.#waiting.push({ number: this.#count, piece, pieces, label: piece === 0 ? label : '', body });
      this.#count += 1;
    }
  }

  /** Frames that may be sent now. */
  *due(): Generator<Piece> {
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      if (this.#kept.size > 0 && this.#keptBytes + next.body.length > WINDOW_BYTES) {
        return;
      }
      this.#waiting.shift();
      if (this.#receivers.size > 0) {
        this.#kept.set(next.number, next);
        this.#keptBytes += next.body.length;
      }
      yield next;
    }
  }

  find(number: number): Piece | undefined {
    return this.#kept.get(number);
  }

  /** A rank has all frames before this number. Numbers only grow: an older frame may come later. */
  confirm(rank: number, count: number): void {
    const before = this.#receivers.get(rank);
    if (before === undefined || count <= before || count > this.#count) {
      return;
    }
    this.#receivers.set(rank, count);
    this.#forget();
  }

  /** A rank is gone, or has left: nobody waits for it any more. */
  leave(rank: number): void {
    this.#receivers.delete(rank);
    this.#forget();
  }

  #forget(): void {
    const confirmed = Math.min(this.#count, ...this.#receivers.values());
    for (; this.#firstKept < confirmed; this.#firstKept += 1) {
      this.#keptBytes -= this.#kept.get(this.#firstKept)?.body.length ?? 0;
      this.#kept.delete(this.#firstKept);
    }
  }
}

/** How far ahead of the next frame one may be, to be kept. */
const FARTHEST = 2 ** 16;

/** How many frames are asked for at once. */
const MOST_MISSING = 256;

/** Frames from one other rank. */
export class IncomingStream {
  readonly #early = new Map<number, Frame>();
  readonly #onMessage: (label: string, bytes: Uint8Array) => void;
  #pieces: Frame[] = [];
  #next = 0;
  #known = 0;

  constructor(onMessage: (label: string, bytes: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  /** How many frames have come without a gap. */
  get next(): number {
    return this.#next;
  }

  get hasGap(): boolean {
    return this.#next < this.#known;
  }

  /** So many frames have been sent. */
  expect(count: number): void {
    this.#known = Math.max(this.#known, Math.min(count, this.#next + FARTHEST));
  }

  /** Numbers of frames that were sent and have not come, the first ones. */
  missing(): number[] {
    const numbers: number[] = [];
    for (let number = this.#next; number < this.#known && numbers.length < MOST_MISSING; number += 1) {
      if (!this.#early.has(number)) {
        numbers.push(number);
      }
    }
    return numbers;
  }

  /** @returns whether the frame is a new one. */
  take(frame: Frame): boolean {
    const { number } = frame;
    if (number < this.#next || number >= this.#next + FARTHEST || this.#early.has(number)) {
      return false;
    }
    this.expect(number + 1);
    this.#early.set(number, frame);
    for (let next = this.#early.get(this.#next); next !== undefined; next = this.#early.get(this.#next)) {
      this.#early.delete(this.#next);
      this.#next += 1;
      this.#assemble(next);
    }
    return true;
  }

  #assemble(frame: Frame): void {
    if (frame.piece === 0) {
      this.#pieces = [];
    }
    this.#pieces.push(frame);
    const [first] = this.#pieces;
    if (this.#pieces.length === first?.pieces) {
      const bodies = this.#pieces.map(({ body }) => body);
      this.#pieces = [];
      this.#onMessage(first.label, joined(bodies));
    }
  }
}

function joined(bodies: readonly Uint8Array[]): Uint8Array {
  const [only] = bodies;
  if (bodies.length === 1 && only !== undefined) {
    return only;
  }
  const bytes = new Uint8Array(bodies.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const body of bodies) {
    bytes.set(body, at);
    at += body.length;
  }
  return bytes;
}

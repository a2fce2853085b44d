/**
 * Large rows on their way between the calling thread and a worker: piece by piece in arrays that are lent to the worker and come back,
 * so that one side empties a piece while the other fills the next. The pieces are used again: fresh memory takes as long to get
 * as to fill.
 */

import type { Rows } from './device.ts';

/** Values of a piece, 1 MiB. Smaller ones spend their time on messages, larger ones leave the caches before they are read. */
const PIECE_VALUES = 256 * 1024;
/** Pieces of a worker: neither side waits for the other. */
const MOST_PIECES = 4;

/** A rectangle out of rows of equal length. */
export interface Box {
  readonly row: number;
  readonly rows: number;
  /** Within each row. */
  readonly begin: number;
  readonly length: number;
}

type Piece = Float32Array<ArrayBuffer>;

/** Whether so many values are worth pieces. */
export function isWorthPieces(values: number): boolean {
  return values >= PIECE_VALUES;
}

/** Rows in boxes that fit a piece, in order. */
export function* boxesOf(rowLength: number, rows: number): Generator<Box> {
  const together = Math.max(1, Math.floor(PIECE_VALUES / rowLength));
  for (let row = 0; row < rows; row += together) {
    for (let begin = 0; begin < rowLength; begin += PIECE_VALUES) {
      yield { row, rows: Math.min(together, rows - row), begin, length: Math.min(PIECE_VALUES, rowLength - begin) };
    }
  }
}

/** Where a box lies in a buffer. */
export function inside({ buffer, offset, stride }: Rows, { row, begin }: Box): Rows {
  return { buffer, offset: offset + row * stride + begin, stride };
}

/** The pieces of one worker. */
export class Pieces {
  readonly #free: Piece[] = [];
  readonly #waiting: (() => void)[] = [];
  #lent = 0;

  /**
   * Takes boxes over one after the other, as pieces come back.
   * @param carry - fills what it is given and lends it to the worker, or lends it and empties it; gives it back.
   * @throws the first failure, when all is over.
   */
  async each(boxes: Iterable<Box>, carry: (box: Box, values: Piece) => Promise<Piece>): Promise<void> {
    const carried: Promise<void>[] = [];
    for (const box of boxes) {
      while (this.#lent === MOST_PIECES) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      const done = this.#lend(box, carry);
      // Told below; nobody waits for it until then.
      done.catch(() => undefined);
      carried.push(done);
      // What was lent sets off now, and the worker is busy with it while the next piece is filled.
      await Promise.resolve();
    }
    await Promise.allSettled(carried);
    await Promise.all(carried);
  }

  async #lend(box: Box, carry: (box: Box, values: Piece) => Promise<Piece>): Promise<void> {
    const piece = this.#free.pop() ?? new Float32Array(PIECE_VALUES);
    this.#lent += 1;
    try {
      const { buffer } = await carry(box, piece.subarray(0, box.rows * box.length));
      // What is small may have travelled as a copy.
      if (buffer.byteLength === PIECE_VALUES * Float32Array.BYTES_PER_ELEMENT) {
        this.#free.push(new Float32Array(buffer));
      }
    } finally {
      // One that does not come back is lost with the worker, or with the command.
      this.#lent -= 1;
      this.#waiting.shift()?.();
    }
  }
}

/**
 * Decompresses LZMA, the format of `.lzma` files, in which the WebAssembly module travels. Platforms bring a decoder for deflate;
 * this one costs a page a kilobyte and saves it a fifth of the module, the largest part of the package.
 *
 * Source: the LZMA specification of Igor Pavlov's LZMA SDK, whose names are kept.
 */

import { RangeDecoder } from './range_decoder.ts';

/** Where the models of each kind begin; the next line tells how many there are. */
const isMatch = 0;
const isRep = isMatch + (12 << 4);
const isRepG0 = isRep + 12;
const isRepG1 = isRepG0 + 12;
const isRepG2 = isRepG1 + 12;
const isRep0Long = isRepG2 + 12;
const posSlot = isRep0Long + (12 << 4);
const posSpecial = posSlot + 4 * 64;
const align = posSpecial + 115;
const matchLength = align + 16;
const lengthModels = 2 + 2 * (16 << 3) + 256;
const repLength = matchLength + lengthModels;
const literal = repLength + lengthModels;

/** Bytes of the header: properties, size of the dictionary (4), length of the result (8). */
const headerBytes = 13;

/**
 * The bytes that were compressed.
 *
 * @param input - an `.lzma` file of less than 4 GiB that tells the length of its result
 * @throws RangeError when the input ends early or refers to bytes before the first.
 */
export function decompressLzma(input: Uint8Array): Uint8Array<ArrayBuffer> {
  if (input.length < headerBytes) {
    throw new RangeError(`expected LZMA data, of at least ${headerBytes} bytes, got ${input.length} bytes`);
  }
  const header = new DataView(input.buffer, input.byteOffset, headerBytes);
  const properties = header.getUint8(0);
  const literalContextBits = properties % 9;
  const literalPositionBits = Math.trunc(properties / 9) % 5;
  const positionBits = Math.trunc(properties / 45);
  // The dictionary is the result itself, so its size does not matter.
  const output = new Uint8Array(header.getUint32(5, true));
  const models = literal + (0x300 << (literalContextBits + literalPositionBits));
  const decoder = new RangeDecoder(input, headerBytes, models);

  /** What came last: below 7 a literal, from 7 on a match. */
  let state = 0;
  let written = 0;
  /** The last four distances less 1, the latest first. */
  const distances = [0, 0, 0, 0];
  const byteBack = (distance: number): number => output[written - distance - 1] ?? 0;

  const decodeLiteral = (): number => {
    const position = written & ((1 << literalPositionBits) - 1);
    const context = (position << literalContextBits) + (byteBack(0) >> (8 - literalContextBits));
    const first = literal + 0x300 * context;
    let symbol = 1;
    if (state >= 7) {
      // After a match, the byte that would have continued it tells much of this one, up to the first bit that differs.
      let expected = byteBack(distances[0] ?? 0);
      let agrees = true;
      while (agrees && symbol < 0x100) {
        const expectedBit = (expected >> 7) & 1;
        expected <<= 1;
        const bit = decoder.bit(first + ((1 + expectedBit) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        agrees = bit === expectedBit;
      }
    }
    while (symbol < 0x100) {
      symbol = (symbol << 1) | decoder.bit(first + symbol);
    }
    return symbol;
  };

  const copyMatch = (length: number): void => {
    const distance = distances[0] ?? 0;
    if (distance >= written) {
      throw new RangeError(`expected LZMA data, which refers ${distance + 1} bytes back after ${written} bytes`);
    }
    for (const end = Math.min(written + length, output.length); written < end; written += 1) {
      output[written] = byteBack(distance);
    }
  };

  while (written < output.length) {
    const position = written & ((1 << positionBits) - 1);
    if (decoder.bit(isMatch + (state << 4) + position) === 0) {
      output[written] = decodeLiteral();
      written += 1;
      state -= Math.min(state, state < 10 ? 3 : 6);
    } else if (decoder.bit(isRep + state) === 0) {
      const length = decodeLength(decoder, matchLength, position);
      distances.unshift(decodeDistance(decoder, length));
      distances.pop();
      state = state < 7 ? 7 : 10;
      copyMatch(length);
    } else {
      const which = decodeWhichRep(decoder, state);
      if (which === 0 && decoder.bit(isRep0Long + (state << 4) + position) === 0) {
        state = state < 7 ? 9 : 11;
        copyMatch(1);
      } else {
        distances.unshift(...distances.splice(which, 1));
        const length = decodeLength(decoder, repLength, position);
        state = state < 7 ? 8 : 11;
        copyMatch(length);
      }
    }
  }
  return output;
}

function decodeLength(decoder: RangeDecoder, models: number, position: number): number {
  if (decoder.bit(models) === 0) {
    return 2 + decoder.tree(models + 2 + (position << 3), 3);
  }
  if (decoder.bit(models + 1) === 0) {
    return 10 + decoder.tree(models + 2 + (16 << 3) + (position << 3), 3);
  }
  return 18 + decoder.tree(models + 2 + 2 * (16 << 3), 8);
}

/** A new distance, less 1. Short matches are near, so the models depend on the length. */
function decodeDistance(decoder: RangeDecoder, length: number): number {
  const slot = decoder.tree(posSlot + Math.min(length - 2, 3) * 64, 6);
  if (slot < 4) {
    return slot;
  }
  const bits = (slot >> 1) - 1;
  const base = (2 + (slot & 1)) * 2 ** bits;
  return slot < 14
    ? base + decoder.reverseTree(posSpecial + base - slot, bits)
    : base + decoder.directBits(bits - 4) * 16 + decoder.reverseTree(align, 4);
}

/** Which of the last four distances is used again. */
function decodeWhichRep(decoder: RangeDecoder, state: number): number {
  if (decoder.bit(isRepG0 + state) === 0) {
    return 0;
  }
  return decoder.bit(isRepG1 + state) === 0 ? 1 : 2 + decoder.bit(isRepG2 + state);
}

/**
 * Reads bits that were written in less than a bit each: LZMA's range decoder, with models that learn.
 *
 * Source: the LZMA specification of Igor Pavlov's LZMA SDK.
 */

/** A probability is that of a 0 bit, in units of 1/2048. */
const certain = 2048;

/** A model moves by 1/32 towards what it has seen. */
const learningShift = 5;

/** Bits of one stream, each decoded with the model whose number is given. */
export class RangeDecoder {
  private readonly input: Uint8Array;
  private readonly probabilities: Uint16Array;
  private position: number;
  private range = 0xffff_ffff;
  private code = 0;

  /**
   * @param input - holds the stream
   * @param position - where it begins
   * @param models - how many there are
   * @throws RangeError when the input ends early, as every method does.
   */
  constructor(input: Uint8Array, position: number, models: number) {
    this.input = input;
    this.probabilities = new Uint16Array(models).fill(certain / 2);
    // The first byte of a stream is always 0.
    this.position = position + 1;
    for (let i = 0; i < 4; i += 1) {
      this.shiftIn();
    }
  }

  /** One bit. */
  bit(model: number): 0 | 1 {
    const probability = this.probabilities[model] ?? 0;
    const bound = (this.range >>> 11) * probability;
    const isZero = this.code < bound;
    if (isZero) {
      this.range = bound;
      this.probabilities[model] = probability + ((certain - probability) >> learningShift);
    } else {
      this.range -= bound;
      this.code -= bound;
      this.probabilities[model] = probability - (probability >> learningShift);
    }
    this.normalize();
    return isZero ? 0 : 1;
  }

  /** A number whose bits are as likely 0 as 1, the highest first. */
  directBits(bits: number): number {
    let value = 0;
    for (let i = 0; i < bits; i += 1) {
      this.range >>>= 1;
      const bit = this.code < this.range ? 0 : 1;
      this.code -= bit * this.range;
      value = value * 2 + bit;
      this.normalize();
    }
    return value;
  }

  /** A number, the highest bit first; each of its prefixes has a model of its own, from `models + 1` on. */
  tree(models: number, bits: number): number {
    let prefix = 1;
    while (prefix < 1 << bits) {
      prefix = (prefix << 1) | this.bit(models + prefix);
    }
    return prefix - (1 << bits);
  }

  /** The same with the lowest bit first. */
  reverseTree(models: number, bits: number): number {
    let prefix = 1;
    let value = 0;
    for (let i = 0; i < bits; i += 1) {
      const bit = this.bit(models + prefix);
      prefix = (prefix << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  /** Keeps at least 24 bits of range, so that a probability always has room to tell. */
  private normalize(): void {
    if (this.range < 0x100_0000) {
      this.range = (this.range << 8) >>> 0;
      this.shiftIn();
    }
  }

  private shiftIn(): void {
    const byte = this.input[this.position];
    if (byte === undefined) {
      throw new RangeError(`expected LZMA data, which ends early, after ${this.position} bytes`);
    }
    this.position += 1;
    this.code = ((this.code << 8) | byte) >>> 0;
  }
}

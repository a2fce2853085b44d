/** Memory for messages. Making an `ArrayBuffer` takes longer than filling it, so short messages are cut from one that many share. */

const SHARED_BYTES = 2 ** 16;
/** Longer ones have a buffer of their own: whoever keeps a message keeps the whole buffer. */
const SHORT_BYTES = 2 ** 13;

let shared = new ArrayBuffer(0);
let used = 0;

/** @returns zeros that nobody else has, at an address that is a multiple of 8. */
export function newBytes(length: number): Uint8Array<ArrayBuffer> {
  if (length > SHORT_BYTES) {
    return new Uint8Array(length);
  }
  if (used + length > shared.byteLength) {
    shared = new ArrayBuffer(SHARED_BYTES);
    used = 0;
  }
  const bytes = new Uint8Array(shared, used, length);
  used += (length + 7) & ~7;
  return bytes;
}

export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = newBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

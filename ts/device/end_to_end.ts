/** Bytes of several partials, in order, as one array: what merging kernels take. */
export function endToEnd(partials: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const partial of partials) {
    length += partial.length;
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const partial of partials) {
    bytes.set(partial, offset);
    offset += partial.length;
  }
  return bytes;
}

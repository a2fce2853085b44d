/** A short name for the state of a network, by which it is recognised. */

import { type StateDict, Tensor } from 'syncbn';

/** Eight hexadecimal digits that change with any bit of any tensor or number in it (FNV-1a). */
export async function checksum(state: StateDict): Promise<string> {
  let hash = 0x811c9dc5;
  const add = (bytes: Uint8Array): void => {
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  };
  for (const [name, value] of Object.entries(state)) {
    const values = value instanceof Tensor ? await value.data() : Float32Array.of(value);
    add(new TextEncoder().encode(name));
    add(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}

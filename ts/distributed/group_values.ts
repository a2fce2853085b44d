/** What collectives take and change: tensors and typed arrays. */

import { describeValue } from '../describe_value.ts';
import { Tensor } from '../index.ts';
import { float32ArrayOf, uint8ArrayOf } from '../typed_array.ts';

/** The bytes of values, without a copy. */
export function bytesAt({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The values that bytes are, without a copy where they are aligned: what comes may begin anywhere in a larger array. */
export function floatsAt(bytes: Uint8Array): Float32Array {
  const isAligned = bytes.byteOffset % 4 === 0;
  const { buffer, byteOffset } = isAligned ? bytes : new Uint8Array(bytes);
  return new Float32Array(buffer, byteOffset, bytes.byteLength >>> 2);
}

/** The values themselves of an array, a copy of a tensor's. */
export async function dataOf(where: string, values: unknown): Promise<Float32Array> {
  const data = values instanceof Tensor ? await values.data() : float32ArrayOf(values);
  if (data === null) {
    throw new TypeError(`${where}: expected a Tensor or a Float32Array, got ${describeValue(values)}`);
  }
  return data;
}

/** The bytes themselves of an array, a copy of a tensor's. */
export async function bytesOf(where: string, values: unknown): Promise<Uint8Array> {
  const bytes = uint8ArrayOf(values);
  if (bytes !== null) {
    return bytes;
  }
  if (!(values instanceof Tensor) && float32ArrayOf(values) === null) {
    throw new TypeError(`${where}: expected a Tensor, a Float32Array or a Uint8Array, got ${describeValue(values)}`);
  }
  return bytesAt(await dataOf(where, values));
}

/** @param data - what `dataOf` has given, with other values: most arrays have them already. */
export async function store(values: Tensor | Float32Array, data: Float32Array): Promise<void> {
  if (values instanceof Tensor) {
    await values.copy_(data);
  } else if (values.buffer !== data.buffer) {
    values.set(data);
  }
}

export async function storeBytes(values: Tensor | Float32Array | Uint8Array, bytes: Uint8Array): Promise<void> {
  if (uint8ArrayOf(values) !== null) {
    (values as Uint8Array).set(bytes);
  } else if (values instanceof Tensor) {
    await values.copy_(floatsAt(bytes));
  } else {
    float32ArrayOf(values)?.set(floatsAt(bytes));
  }
}

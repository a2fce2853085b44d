/** The types of values that a safetensors file can hold, as far as they become f32 values or numbers of JavaScript. */

import { quoteValue } from '../describe_value.ts';
import { SafetensorsError } from './safetensors_error.ts';

/** How a type is stored and read. All is little-endian, as every platform with WebAssembly is. */
export interface Dtype {
  /** Bytes per value. */
  readonly size: number;
  /**
   * Whether one value of this type, of shape [], is a number of JavaScript: integers, such as counters, and F64, whose values f32
   * does not hold exactly.
   */
  readonly isNumber: boolean;
  /** The values; `bytes` holds a whole number of them and begins at 0 of its buffer. */
  readonly read: (bytes: Uint8Array<ArrayBuffer>) => ArrayLike<number | bigint>;
}

/** By the name in the header. */
const dtypes: ReadonlyMap<string, Dtype> = new Map<string, Dtype>([
  ['F64', { size: 8, isNumber: true, read: ({ buffer }) => new Float64Array(buffer) }],
  ['F32', { size: 4, isNumber: false, read: ({ buffer }) => new Float32Array(buffer) }],
  ['F16', { size: 2, isNumber: false, read: ({ buffer }) => fromHalf(new Uint16Array(buffer)) }],
  ['BF16', { size: 2, isNumber: false, read: ({ buffer }) => fromBrainFloat(new Uint16Array(buffer)) }],
  ['I64', { size: 8, isNumber: true, read: ({ buffer }) => new BigInt64Array(buffer) }],
  ['U64', { size: 8, isNumber: true, read: ({ buffer }) => new BigUint64Array(buffer) }],
  ['I32', { size: 4, isNumber: true, read: ({ buffer }) => new Int32Array(buffer) }],
  ['U32', { size: 4, isNumber: true, read: ({ buffer }) => new Uint32Array(buffer) }],
  ['I16', { size: 2, isNumber: true, read: ({ buffer }) => new Int16Array(buffer) }],
  ['U16', { size: 2, isNumber: true, read: ({ buffer }) => new Uint16Array(buffer) }],
  ['I8', { size: 1, isNumber: true, read: ({ buffer }) => new Int8Array(buffer) }],
  ['U8', { size: 1, isNumber: true, read: (bytes) => bytes }],
  ['BOOL', { size: 1, isNumber: true, read: (bytes) => bytes }],
]);

/** @throws SafetensorsError for a type that is unknown, or that f32 does not stand for, such as complex numbers. */
export function dtypeOf(name: unknown, tensor: string): Dtype {
  const dtype = typeof name === 'string' ? dtypes.get(name) : undefined;
  if (dtype === undefined) {
    throw new SafetensorsError(
      `safetensors: expected the dtype of ${tensor} to be one of ${[...dtypes.keys()].join(', ')}, got ${quoteValue(name)}; ` +
        `convert tensors of other types, with tensor.float() in PyTorch, or leave them out when the file is written`,
    );
  }
  return dtype;
}

/**
 * f32 values of IEEE half precision, exactly.
 *
 * A half has 5 bits of exponent with bias 15 and 10 of fraction; f32 has 8 with bias 127 and 23.
 */
function fromHalf(halves: Uint16Array): Float32Array {
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  halves.forEach((half, i) => {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) {
      // Zero, or a subnormal number: multiples of 2⁻²⁴.
      values[i] = fraction * 2 ** -24;
      bits[i] = (bits[i] ?? 0) | sign;
    } else {
      const isFinite = exponent < 0x1f;
      bits[i] = sign | ((isFinite ? exponent + 127 - 15 : 0xff) << 23) | (fraction << 13);
    }
  });
  return values;
}

/** f32 values of bfloat16, which is the upper half of an f32. */
function fromBrainFloat(halves: Uint16Array): Float32Array {
  const bits = Uint32Array.from(halves, (half) => half << 16);
  return new Float32Array(bits.buffer);
}

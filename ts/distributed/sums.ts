/** Reductions over ranks, element by element, in order of ranks: the same bits wherever they are computed. */

import { devices } from '../index.ts';

/** How the values of all ranks become one. */
export type ReduceOp = 'sum' | 'mean' | 'max';

/**
 * @param parts - of all ranks, in order, of one length; none is changed.
 * @returns the sum, by the kernels of the calling thread's device; the mean, which is the sum divided by the number of parts; or the maximum,
 * which is NaN where a part is.
 */
export async function reduceInOrder(parts: readonly Float32Array[], op: ReduceOp): Promise<Float32Array> {
  const [first = new Float32Array(), ...others] = parts;
  if (op === 'max') {
    return others.reduce<Float32Array>(
      (largest, part) => largest.map((value, i) => Math.max(value, part[i] ?? Number.NaN)),
      first.slice(),
    );
  }
  const sum = await sumInOrder(first, others);
  // The quotient of two f32 in f64, rounded to f32, is the f32 quotient.
  return op === 'mean' ? sum.map((value) => value / parts.length) : sum;
}

async function sumInOrder(first: Float32Array, others: readonly Float32Array[]): Promise<Float32Array> {
  if (first.length === 0 || others.length === 0) {
    return first.slice();
  }
  const device = devices.get('cpu');
  try {
    await device.ready();
  } catch {
    // A program that has loaded no kernels. In f64 the sum of two f32 is exact enough that rounding it gives the f32 sum: the same bits.
    return others.reduce<Float32Array>((sum, part) => {
      part.forEach((value, i) => (sum[i] = (sum[i] ?? 0) + value));
      return sum;
    }, first.slice());
  }
  const sum = device.allocate(first.length);
  try {
    const addend = device.allocate(first.length);
    try {
      device.write(sum, first);
      for (const part of others) {
        device.write(addend, part);
        device.run({ operation: 'add', a: sum, b: addend, target: sum });
      }
      return await device.read(sum);
    } finally {
      device.release(addend);
    }
  } finally {
    device.release(sum);
  }
}

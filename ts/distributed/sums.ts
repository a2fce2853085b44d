/** Reductions over ranks, element by element, in order of ranks: the same bits wherever they are computed. */

import { devices } from '../index.ts';

/** How the values of all ranks become one. */
export type ReduceOp = 'sum' | 'mean' | 'max';

/**
 * The sum, by the kernels of the calling thread's device; the mean, which is the sum divided by the number of parts; or the maximum, which is NaN
 * where a part is.
 *
 * @param parts - of all ranks, in order, of one length.
 * @param target - what the result is written to.
 */
export async function reduceInOrder(parts: readonly Float32Array[], op: ReduceOp, target: Float32Array): Promise<void> {
  const [first = new Float32Array(), ...others] = parts;
  if (op === 'max') {
    for (let i = 0; i < target.length; i += 1) {
      target[i] = others.reduce((largest, part) => Math.max(largest, part[i] ?? Number.NaN), first[i] ?? Number.NaN);
    }
    return;
  }
  await sumInOrder(first, others, target);
  if (op === 'mean') {
    // The quotient of two f32 in f64, rounded to f32, is the f32 quotient.
    for (let i = 0; i < target.length; i += 1) {
      target[i] = (target[i] ?? 0) / parts.length;
    }
  }
}

async function sumInOrder(first: Float32Array, others: readonly Float32Array[], target: Float32Array): Promise<void> {
  if (first.length === 0 || others.length === 0) {
    target.set(first);
    return;
  }
  const device = devices.get('cpu');
  try {
    await device.ready();
  } catch {
    // A program that has loaded no kernels. After each addition the sum is rounded to f32, which gives the f32 sum: the same bits.
    for (let i = 0; i < target.length; i += 1) {
      target[i] = others.reduce((sum, part) => Math.fround(sum + (part[i] ?? 0)), first[i] ?? 0);
    }
    return;
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
      const rows = { buffer: sum, offset: 0, stride: target.length };
      if (device.readInto === undefined) {
        target.set(await device.read(sum));
      } else {
        device.readInto(rows, target.length, 1, target);
      }
    } finally {
      device.release(addend);
    }
  } finally {
    device.release(sum);
  }
}

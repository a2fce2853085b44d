/** Shapes: validation, sizes, and how a shape lies in memory. */

import { describeValue, quoteValue } from '../describe_value.ts';
import type { BatchLayout, MemoryFormat } from '../device/device.ts';
import { isThenable } from './thenable.ts';

/** A tensor's sizes, outermost first, in logical (N, C, …) order. */
export type Shape = readonly number[];

/** Number of elements; 1 for the shape of a scalar. */
export function elementCount(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** `[2, 3]`, as PyTorch prints it. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) {
    return false;
  }
  for (let dim = 0; dim < a.length; dim += 1) {
    if (a[dim] !== b[dim]) {
      return false;
    }
  }
  return true;
}

/**
 * A copy of a shape that the user gave, which he cannot change afterwards.
 * @throws TypeError or RangeError unless every size is a non-negative integer and their product is exact.
 */
export function shapeOf(given: unknown): Shape {
  if (!Array.isArray(given)) {
    const isObject = typeof given === 'object' && !ArrayBuffer.isView(given) && !isThenable(given);
    const advice = isObject ? '; options come after the shape: tensor(data, shape, options)' : '';
    throw new TypeError(`expected a shape such as [8, 64, 32, 32], got ${quoteValue(given)}${advice}`);
  }
  const shape: readonly unknown[] = Object.freeze(Array.from(given));
  for (const size of shape) {
    if (typeof size !== 'number') {
      throw new TypeError(`expected a shape of numbers, got ${describeValue(size)} in it`);
    }
    if (!Number.isInteger(size) || size < 0) {
      throw new RangeError(`expected sizes to be non-negative integers, got shape ${formatShape(shape as Shape)}`);
    }
  }
  if (!Number.isSafeInteger(elementCount(shape as Shape))) {
    throw new RangeError(`shape ${formatShape(shape as Shape)} has more elements than can be counted`);
  }
  return shape as Shape;
}

/** @throws TypeError for what is no memory format, RangeError for `'channels_last'` of a shape without such a dimension. */
export function checkMemoryFormat(format: unknown, shape: Shape): void {
  if (format !== 'contiguous' && format !== 'channels_last') {
    throw new TypeError(`memoryFormat: expected 'contiguous' or 'channels_last', got ${quoteValue(format)}`);
  }
  if (format === 'channels_last' && shape.length < 3) {
    throw new RangeError(`memoryFormat 'channels_last': expected rank 3 or more, got shape ${formatShape(shape)}`);
  }
}

/** How a tensor of rank ≥ 2 lies in memory as a batch: N samples, C channels, L the product of the rest. */
export function batchLayout(shape: Shape, format: MemoryFormat): BatchLayout {
  let length = 1;
  for (let dim = 2; dim < shape.length; dim += 1) {
    length *= shape[dim] ?? 1;
  }
  return { samples: shape[0] ?? 1, channels: shape[1] ?? 1, length, format };
}

/** The sizes in the order of memory, outermost first. */
export function physicalShape(shape: Shape, format: MemoryFormat): Shape {
  const [samples, channels, ...rest] = shape;
  if (format === 'contiguous' || samples === undefined || channels === undefined) {
    return shape;
  }
  return [samples, ...rest, channels];
}

/** Where logical dimension `dim` stands in the order of memory. */
export function physicalDim(dim: number, rank: number, format: MemoryFormat): number {
  if (format === 'contiguous' || dim === 0) {
    return dim;
  }
  return dim === 1 ? rank - 1 : dim - 1;
}

/**
 * A dimension counted from the front: negative ones count from the end, as in PyTorch.
 * @throws RangeError when there is no such dimension.
 */
export function resolveDim(dim: number, rank: number): number {
  const resolved = dim < 0 ? dim + rank : dim;
  if (!Number.isInteger(dim) || resolved < 0 || resolved >= rank) {
    throw new RangeError(`Dimension out of range (expected to be in range of [${-rank}, ${rank - 1}], but got ${dim})`);
  }
  return resolved;
}

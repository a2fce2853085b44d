/** Other shapes for the same memory. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import type { MemoryFormat } from '../device/device.ts';
import { type DataOrder, orderOf } from './reading.ts';
import {
  checkMemoryFormat,
  elementCount,
  formatShape,
  physicalShape,
  sameShape,
  type Shape,
  shapeOf,
} from './shape.ts';

/** How the memory of a tensor is seen. */
export interface ViewOptions {
  /**
   * Which order of the values stays: `'logical'`, the default, is PyTorch's: the n-th value of the one is the n-th of the other. `'memory'`: the
   * bytes stay, and are seen as a tensor of the shape and memory format given, whatever they were before.
   */
  readonly order?: DataOrder;
  /** Order of the new dimensions in memory, where `order` is `'memory'`; default `'contiguous'`. */
  readonly memoryFormat?: MemoryFormat;
}

const viewOptions: KnownOptions<ViewOptions> = { order: 'string', memoryFormat: 'string' };

/** The shape and memory format of a view. */
export interface Seen {
  readonly shape: Shape;
  readonly memoryFormat: MemoryFormat;
}

/**
 * What a view with these arguments is of.
 * @param from - the tensor.
 * @returns `null` where the values stand in another order in memory, so that they would have to be copied.
 * @throws TypeError or RangeError for a shape that has not as many values, or options that do not suit.
 */
export function seenAs(where: string, from: Seen, wanted: unknown, options: ViewOptions | undefined): Seen | null {
  checkOptions(where, options, viewOptions);
  const { order, memoryFormat } = options ?? {};
  const shape = completed(where, wanted, from.shape);
  if (orderOf(where, { order }) === 'memory') {
    const format = memoryFormat ?? 'contiguous';
    checkMemoryFormat(format, shape);
    return { shape, memoryFormat: format };
  }
  if (memoryFormat !== undefined) {
    throw new TypeError(
      `${where}: expected memoryFormat together with order: 'memory', which sees the bytes as they lie in it, got it alone; the logical ` +
        `order of values does not depend on it`,
    );
  }
  return inLogicalOrder(from, shape);
}

/** A contiguous tensor may have any shape. Of a channels-last one, N and C must stay, and what lies between them may have any shape. */
function inLogicalOrder({ shape: old, memoryFormat }: Seen, shape: Shape): Seen | null {
  if (memoryFormat === 'contiguous' || sameOrder(old, memoryFormat)) {
    return { shape, memoryFormat: 'contiguous' };
  }
  const [samples, channels] = old;
  const keepsChannels = shape.length > 2 && shape[0] === samples && shape[1] === channels;
  return keepsChannels ? { shape, memoryFormat } : null;
}

/** Whether the values stand in logical order in memory: whether the dimensions longer than 1 do. */
function sameOrder(shape: Shape, format: MemoryFormat): boolean {
  const isLong = (dim: number): boolean => shape[dim] !== 1;
  const dims = shape.map((_, dim) => dim);
  return shape.includes(0) || sameShape(physicalShape(dims, format).filter(isLong), dims.filter(isLong));
}

/** The shape with its one unknown size, -1, computed. */
function completed(where: string, wanted: unknown, old: Shape): Shape {
  const count = elementCount(old);
  const sizes: readonly unknown[] = Array.isArray(wanted) ? Array.from(wanted as unknown[]) : [];
  const unknown = sizes.indexOf(-1);
  if (unknown < 0) {
    const shape = shapeOf(wanted);
    if (elementCount(shape) !== count) {
      refuse(where, old, shape);
    }
    return shape;
  }
  const known = shapeOf(sizes.map((size, dim) => (dim === unknown ? 1 : size)));
  const rest = elementCount(known);
  if (rest === 0 || count % rest !== 0) {
    refuse(where, old, sizes as Shape);
  }
  return shapeOf(known.map((size, dim) => (dim === unknown ? count / rest : size)));
}

function refuse(where: string, old: Shape, shape: Shape): never {
  throw new RangeError(
    `${where}: shape ${formatShape(shape)} is invalid for a tensor of ${elementCount(old)} values, of shape ${formatShape(old)}; one size may be ` +
      `-1, where the others determine it`,
  );
}

/** How large each device's share of a tensor is. */

import { formatShape, type Shape } from '../tensor/shape.ts';
import { listOfSizes, type SplitSizes } from './split_sizes.ts';

/**
 * Sizes of the chunks of a dimension for k devices: ⌈size / k⌉ each, so that there may be fewer chunks than devices.
 * A dimension of size 0 is one empty chunk. Source: `torch.chunk`.
 */
export function chunkSizes(size: number, devices: number): number[] {
  const chunk = Math.max(Math.ceil(size / devices), 1);
  const count = Math.max(Math.ceil(size / chunk), 1);
  return Array.from({ length: count }, (_, i) => Math.min(chunk, size - i * chunk));
}

/**
 * The sizes for a tensor.
 * @param dim - the dimension that is cut, counted from the front.
 * @throws TypeError for what are no sizes; RangeError unless there is one per device and they add up to the dimension.
 */
export function sizesFor(splitSizes: SplitSizes, shape: Shape, dim: number, devices: number): readonly number[] {
  const size = shape[dim] ?? 0;
  const sizes = listOfSizes(typeof splitSizes === 'function' ? splitSizes(size) : splitSizes);
  if (sizes.length !== devices) {
    throw new RangeError(
      `splitSizes: expected one size for each of ${devices} devices, got ${sizes.length} in ${formatShape(sizes)}; 0 is an empty share`,
    );
  }
  const sum = sizes.reduce((total, each) => total + each, 0);
  if (sum !== size) {
    throw new RangeError(
      `splitSizes: expected sizes that add up to ${size}, dimension ${dim} of an input of shape ${formatShape(shape)}, got ` +
        `${formatShape(sizes)}, which add up to ${sum}; a function of the size may serve batches of several sizes`,
    );
  }
  return sizes;
}

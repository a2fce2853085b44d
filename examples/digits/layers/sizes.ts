/** Reading the sizes of a tensor whose rank a layer relies on. */

import type { Tensor } from 'syncbn';

/** Sizes of a batch of images (N, C, H, W). */
export interface ImageSizes {
  readonly samples: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** @throws RangeError unless the tensor has rank 4. */
export function imageSizes(layer: string, x: Tensor): ImageSizes {
  const [samples, channels, height, width] = x.shape;
  if (samples === undefined || channels === undefined || height === undefined || width === undefined) {
    throw new RangeError(`${layer}: expected images of shape (N, C, H, W), got shape [${x.shape.join(', ')}]`);
  }
  return { samples, channels, height, width };
}

/** @throws RangeError unless the tensor has rank 2. */
export function matrixSizes(layer: string, x: Tensor): readonly [rows: number, columns: number] {
  const [rows, columns, ...others] = x.shape;
  if (rows === undefined || columns === undefined || others.length > 0) {
    throw new RangeError(`${layer}: expected a matrix of shape (N, C), got shape [${x.shape.join(', ')}]`);
  }
  return [rows, columns];
}

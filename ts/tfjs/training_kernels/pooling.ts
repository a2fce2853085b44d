/** The windows of a pooling layer in three dimensions; with two, the depth is 1. */

import { backend_util, type NamedAttrMap } from '@tensorflow/tfjs-core';

/** Depth, height, width. */
type Triple = readonly [number, number, number];

/** What a pooling layer does to images with channels last. */
export interface Pooling {
  readonly samples: number;
  readonly channels: number;
  readonly inSize: Triple;
  readonly outSize: Triple;
  /** From one window to the next. */
  readonly strides: Triple;
  /** Of a window. */
  readonly size: Triple;
  readonly outShape: readonly number[];
  /** Of the images' first value in a frame that begins with the padding. */
  readonly padding: Triple;
}

type Info2DArguments = Parameters<typeof backend_util.computePool2DInfo>;
type Info3DArguments = Parameters<typeof backend_util.computePool3DInfo>;

/** The pooling of images of shape (N, H, W, C) or (N, D, H, W, C). */
export function describePooling(inputShape: readonly number[], attrs: NamedAttrMap | undefined): Pooling {
  const { filterSize, strides, pad, dimRoundingMode } = attrs ?? {};
  const parameters = [inputShape, filterSize, strides, 1, pad, dimRoundingMode];
  if (inputShape.length === 5) {
    const info = backend_util.computePool3DInfo(...(parameters as Info3DArguments));
    return {
      samples: info.batchSize,
      channels: info.inChannels,
      inSize: [info.inDepth, info.inHeight, info.inWidth],
      outSize: [info.outDepth, info.outHeight, info.outWidth],
      strides: [info.strideDepth, info.strideHeight, info.strideWidth],
      size: [info.filterDepth, info.filterHeight, info.filterWidth],
      outShape: info.outShape,
      padding: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
    };
  }
  const info = backend_util.computePool2DInfo(...(parameters as Info2DArguments));
  return {
    samples: info.batchSize,
    channels: info.inChannels,
    inSize: [1, info.inHeight, info.inWidth],
    outSize: [1, info.outHeight, info.outWidth],
    strides: [1, info.strideHeight, info.strideWidth],
    size: [1, info.filterHeight, info.filterWidth],
    outShape: info.outShape,
    padding: [0, info.padInfo.top, info.padInfo.left],
  };
}

/**
 * Calls `visit` with each window, in the order of the outputs.
 * @param visit - gets the indices of the window's values of channel 0, padding left out, in an array that is used again, their number, and the
 * index of the output of channel 0.
 */
export function forEachWindow(
  pooling: Pooling,
  visit: (positions: Int32Array, count: number, output: number) => void,
): void {
  const { samples, channels, inSize, outSize, strides, size, padding } = pooling;
  const positions = new Int32Array(size[0] * size[1] * size[2]);
  const range = (axis: 0 | 1 | 2, output: number): Pair => {
    const begin = output * strides[axis] - padding[axis];
    return [Math.max(begin, 0), Math.min(begin + size[axis], inSize[axis])];
  };
  let output = 0;
  for (let n = 0; n < samples; n += 1) {
    for (let depth = 0; depth < outSize[0]; depth += 1) {
      const [front, back] = range(0, depth);
      for (let row = 0; row < outSize[1]; row += 1) {
        const [top, bottom] = range(1, row);
        for (let column = 0; column < outSize[2]; column += 1) {
          const [left, right] = range(2, column);
          let count = 0;
          for (let d = front; d < back; d += 1) {
            for (let h = top; h < bottom; h += 1) {
              const line = ((n * inSize[0] + d) * inSize[1] + h) * inSize[2];
              for (let w = left; w < right; w += 1) {
                positions[count] = (line + w) * channels;
                count += 1;
              }
            }
          }
          visit(positions, count, output);
          output += channels;
        }
      }
    }
  }
}

type Pair = readonly [number, number];

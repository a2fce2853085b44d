/** Images with borders of zeros, windows of them, and images with zeros between their rows and columns. */

import { pad, reshape, slice, type Tensor4D } from '@tensorflow/tfjs-core';
import { type ConvolutionInfo, type Pair, reachOf } from './convolution.ts';

/** The window of `height` rows and `width` columns that begins at row `top` and column `left`; zeros where it leaves the images. */
export function windowOf(x: Tensor4D, [top, left]: Pair, [height, width]: Pair): Tensor4D {
  const [samples, inHeight, inWidth, channels] = x.shape;
  const [above, before] = [Math.max(-top, 0), Math.max(-left, 0)];
  const [below, after] = [Math.max(top + height - inHeight, 0), Math.max(left + width - inWidth, 0)];
  const isLarger = above + below + before + after > 0;
  const padded = isLarger ? pad(x, [[0, 0], [above, below], [before, after], [0, 0]]) : x; // prettier-ignore
  if (padded.shape[1] === height && padded.shape[2] === width) {
    return padded;
  }
  return slice(padded, [0, Math.max(top, 0), Math.max(left, 0), 0], [samples, height, width, channels]);
}

/** The part of the input that the convolution reads, its padding included. */
export function readWindow(x: Tensor4D, info: ConvolutionInfo): Tensor4D {
  const [reachHeight, reachWidth] = reachOf(info);
  const height = info.strideHeight * (info.outHeight - 1) + 1 + reachHeight;
  const width = info.strideWidth * (info.outWidth - 1) + 1 + reachWidth;
  return windowOf(x, [-info.padInfo.top, -info.padInfo.left], [height, width]);
}

/** Images with `strides` less one rows and columns of zeros after each of theirs. */
export function spread(x: Tensor4D, [strideHeight, strideWidth]: Pair): Tensor4D {
  const [samples, height, width, channels] = x.shape;
  let spaced: Tensor4D = x;
  if (strideWidth > 1) {
    const pixels = reshape(spaced, [samples * height * width, 1, channels]);
    spaced = reshape(pad(pixels, [[0, 0], [0, strideWidth - 1], [0, 0]]), [samples, height, width * strideWidth, channels]); // prettier-ignore
  }
  if (strideHeight > 1) {
    const wide = width * strideWidth;
    const rows = reshape(spaced, [samples * height, 1, wide * channels]);
    spaced = reshape(pad(rows, [[0, 0], [0, strideHeight - 1], [0, 0]]), [samples, height * strideHeight, wide, channels]); // prettier-ignore
  }
  return spaced;
}

/** dy as the input of the convolution, without strides, that gives dx. */
export function spreadGradient(dy: Tensor4D, info: ConvolutionInfo): Tensor4D {
  const { inHeight, inWidth, padInfo } = info;
  const [high, wide] = reachOf(info);
  const spaced = spread(dy, [info.strideHeight, info.strideWidth]);
  return windowOf(spaced, [padInfo.top - high, padInfo.left - wide], [inHeight + high, inWidth + wide]);
}

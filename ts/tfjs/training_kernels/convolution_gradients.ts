/** Gradients of plain convolutions, as convolutions, in which strides and dilations have changed places. */

import { reshape, reverse, slice, type Tensor4D, transpose } from '@tensorflow/tfjs-core';
import { type ConvolutionInfo, convolve } from './convolution.ts';
import { readWindow, spread, spreadGradient, windowOf } from './windows.ts';

/**
 * dw[i, j, c, o] = Σ x[n, s·p + d·i − top, s·q + d·j − left, c] · dy[n, p, q, o].
 *
 * Samples are summed, so they take the place of channels: the images are x with the channels as samples, the filter is dy.
 * @param x - shape (N, H, W, C).
 * @param dy - shape (N, P, Q, O).
 * @returns shape (I, J, C, O).
 */
export function filterGradient(x: Tensor4D, dy: Tensor4D, info: ConvolutionInfo): Tensor4D {
  const read = readWindow(x, info);
  if (info.filterHeight === 1 && info.filterWidth === 1) {
    return pointwiseFilterGradient(read, dy, info);
  }
  const images = transpose(read, [3, 1, 2, 0]);
  const filters = transpose(dy, [1, 2, 0, 3]);
  const { strideHeight, strideWidth, dilationHeight, dilationWidth } = info;
  const dw = convolve('Conv2D', images, filters, [dilationHeight, dilationWidth], [strideHeight, strideWidth]);
  return transpose(dw, [1, 2, 0, 3]);
}

/** Of a filter of one tap: one product of matrices, (C, N·P·Q) and (N·P·Q, O). The other way would sum one sample after another. */
function pointwiseFilterGradient(read: Tensor4D, dy: Tensor4D, info: ConvolutionInfo): Tensor4D {
  const { batchSize, outHeight, outWidth, inChannels, outChannels } = info;
  const rows = batchSize * outHeight * outWidth;
  const used = everyNth(read, info);
  const columns = reshape(transpose(reshape(used, [rows, inChannels]), [1, 0]), [1, 1, inChannels, rows]);
  const filters: Tensor4D = reshape(dy, [1, 1, rows, outChannels]);
  return convolve('Conv2D', columns, filters, [1, 1], [1, 1]);
}

/** The rows and columns that a filter of one tap reads. */
function everyNth(read: Tensor4D, info: ConvolutionInfo): Tensor4D {
  const { strideHeight, strideWidth, batchSize, outHeight, outWidth, inChannels } = info;
  if (strideHeight === 1 && strideWidth === 1) {
    return read;
  }
  // Rows and columns after the last that is read complete the last group.
  const whole = windowOf(read, [0, 0], [outHeight * strideHeight, outWidth * strideWidth]);
  const rowLength = outWidth * strideWidth * inChannels;
  const rows = slice(
    reshape(whole, [batchSize * outHeight, strideHeight, rowLength]),
    [0, 0, 0],
    [batchSize * outHeight, 1, rowLength],
  );
  const pixels = slice(
    reshape(rows, [batchSize * outHeight * outWidth, strideWidth, inChannels]),
    [0, 0, 0],
    [batchSize * outHeight * outWidth, 1, inChannels],
  );
  return reshape(pixels, [batchSize, outHeight, outWidth, inChannels]);
}

/**
 * dx, the convolution of dy, with zeros between its rows and columns, with the filter turned by 180°.
 * @param dy - shape (N, P, Q, O).
 * @param filter - shape (I, J, C, O).
 * @returns shape (N, H, W, C).
 */
export function inputGradient(dy: Tensor4D, filter: Tensor4D, info: ConvolutionInfo): Tensor4D {
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo, inHeight, inWidth } = info;
  if (filterHeight === 1 && filterWidth === 1) {
    // Zeros are spread afterwards, and not multiplied.
    const products = convolve('Conv2D', dy, transpose(filter, [0, 1, 3, 2]), [1, 1], [1, 1]);
    return windowOf(spread(products, [strideHeight, strideWidth]), [padInfo.top, padInfo.left], [inHeight, inWidth]);
  }
  const turned = transpose(reverse(filter, [0, 1]), [0, 1, 3, 2]);
  const dilations = [info.dilationHeight, info.dilationWidth] as const;
  return convolve('Conv2D', spreadGradient(dy, info), turned, [1, 1], dilations);
}

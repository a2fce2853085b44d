/** Gradients of convolutions of volumes: slices of the depth are images, and each tap along the depth is a convolution of those. */

import {
  addN,
  backend_util,
  concat,
  type NamedAttrMap,
  pad,
  type Rank,
  reshape,
  slice,
  type Tensor4D,
  type Tensor5D,
} from '@tensorflow/tfjs-core';
import { type ConvolutionInfo } from './convolution.ts';
import { filterGradient, inputGradient } from './convolution_gradients.ts';

/** A three-dimensional convolution, channels last, as tfjs computes it. */
export type VolumeInfo = backend_util.Conv3DInfo;

type Shape5D = [number, number, number, number, number];
type InfoArguments = Parameters<typeof backend_util.computeConv3DInfo>;

/** What the convolution of these shapes and attributes is. */
export function describeVolumeConvolution(
  inputShape: readonly number[],
  filterShape: readonly number[],
  attrs: NamedAttrMap | undefined,
): VolumeInfo {
  const { strides, pad, dilations } = attrs ?? {};
  return backend_util.computeConv3DInfo(
    inputShape as Shape5D,
    filterShape as Shape5D,
    strides as InfoArguments[2],
    (dilations ?? 1) as InfoArguments[3],
    pad as InfoArguments[4],
  );
}

/**
 * dw[a, i, j, c, o], as of images, for each tap a along the depth.
 * @param x - shape (N, D, H, W, C).
 * @param dy - shape (N, E, P, Q, O).
 * @returns shape (A, I, J, C, O).
 */
export function volumeFilterGradient(x: Tensor5D, dy: Tensor5D, info: VolumeInfo): Tensor5D {
  const images = imagesOf(info);
  const dys = slicesAsSamples(dy);
  const taps = Array.from({ length: info.filterDepth }, (_, a) => {
    const read = slicesAsSamples(everyNthSlice(x, a * info.dilationDepth - info.padInfo.front, info));
    const dw = filterGradient(read, dys, images);
    return reshape<Rank.R5>(dw, [1, ...dw.shape]);
  });
  return concat(taps, 0);
}

/**
 * dx, the sum of what each tap along the depth gives to the slices that it reads.
 * @param filter - shape (A, I, J, C, O).
 * @returns shape (N, D, H, W, C).
 */
export function volumeInputGradient(dy: Tensor5D, filter: Tensor5D, info: VolumeInfo): Tensor5D {
  const images = imagesOf(info);
  const dys = slicesAsSamples(dy);
  const [, height, width, channels, outputs] = filter.shape;
  const parts = Array.from({ length: info.filterDepth }, (_, a) => {
    const tap = slice(filter, [a, 0, 0, 0, 0], [1, height, width, channels, outputs]);
    const dx = inputGradient(dys, reshape<Rank.R4>(tap, [height, width, channels, outputs]), images);
    const slices = reshape<Rank.R5>(dx, [info.batchSize, info.outDepth, info.inHeight, info.inWidth, info.inChannels]);
    return spreadSlices(slices, a * info.dilationDepth - info.padInfo.front, info);
  });
  return addN(parts);
}

/** The convolution of the slices, all of which are samples. */
function imagesOf(info: VolumeInfo): ConvolutionInfo {
  const { padInfo, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, filterHeight, filterWidth } = info;
  const batchSize = info.batchSize * info.outDepth;
  return {
    batchSize,
    inHeight,
    inWidth,
    inChannels,
    outHeight,
    outWidth,
    outChannels,
    dataFormat: 'channelsLast',
    strideHeight: info.strideHeight,
    strideWidth: info.strideWidth,
    dilationHeight: info.dilationHeight,
    dilationWidth: info.dilationWidth,
    filterHeight,
    filterWidth,
    effectiveFilterHeight: info.effectiveFilterHeight,
    effectiveFilterWidth: info.effectiveFilterWidth,
    padInfo,
    inShape: [batchSize, inHeight, inWidth, inChannels],
    outShape: [batchSize, outHeight, outWidth, outChannels],
    filterShape: [filterHeight, filterWidth, inChannels, outChannels],
  };
}

function slicesAsSamples(x: Tensor5D): Tensor4D {
  const [samples, depth, height, width, channels] = x.shape;
  return reshape(x, [samples * depth, height, width, channels]);
}

/** The slices that one tap reads, one for each output: from slice `first` on every `strideDepth`-th; zeros where there are none. */
function everyNthSlice(x: Tensor5D, first: number, { outDepth, strideDepth }: VolumeInfo): Tensor5D {
  const [samples, , height, width, channels] = x.shape;
  const whole = slicesFrom(x, first, outDepth * strideDepth);
  const image = height * width * channels;
  const groups = reshape(whole, [samples * outDepth, strideDepth, image]);
  return reshape(slice(groups, [0, 0, 0], [samples * outDepth, 1, image]), [
    samples,
    outDepth,
    height,
    width,
    channels,
  ]);
}

/** The opposite: slices put where the tap has read them, in a volume as deep as the input. */
function spreadSlices(slices: Tensor5D, first: number, { inDepth, outDepth, strideDepth }: VolumeInfo): Tensor5D {
  const [samples, , height, width, channels] = slices.shape;
  const groups = reshape(slices, [samples * outDepth, 1, height * width * channels]);
  const spaced = pad(groups, [[0, 0], [0, strideDepth - 1], [0, 0]]); // prettier-ignore
  return slicesFrom(reshape(spaced, [samples, outDepth * strideDepth, height, width, channels]), -first, inDepth);
}

/** `count` slices from number `first` on; zeros where there are none. */
function slicesFrom(x: Tensor5D, first: number, count: number): Tensor5D {
  const [samples, depth, height, width, channels] = x.shape;
  const [before, after] = [Math.max(-first, 0), Math.max(first + count - depth, 0)];
  const padded: Tensor5D =
    before + after === 0 ? x : pad(x, [[0, 0], [before, after], [0, 0], [0, 0], [0, 0]]); // prettier-ignore
  return slice(padded, [0, Math.max(first, 0), 0, 0, 0], [samples, count, height, width, channels]);
}

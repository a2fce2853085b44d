/** What a convolution does to its input, and the kernels of tfjs that compute one. */

import {
  backend_util,
  engine,
  type NamedAttrMap,
  type NamedTensorInfoMap,
  type Tensor,
  type Tensor4D,
} from '@tensorflow/tfjs-core';

/** Sizes, strides, dilations and padding of a two-dimensional convolution, channels last, as tfjs computes them. */
export type ConvolutionInfo = backend_util.Conv2DInfo;

/** Rows and columns. */
export type Pair = readonly [number, number];

type Shape4D = [number, number, number, number];

/** Attributes that the kernels of convolutions and of their gradients have in common. */
interface ConvolutionAttributes {
  readonly strides: number | [number, number];
  readonly pad: Parameters<typeof backend_util.computeConv2DInfo>[4];
  readonly dataFormat?: 'NHWC' | 'NCHW';
  /** Absent where the convolution has none. */
  readonly dilations?: number | [number, number] | null;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/**
 * What the convolution of these shapes and attributes is.
 * @throws RangeError for channels first, which tfjs' wasm backend does not compute.
 */
export function describeConvolution(
  inputShape: readonly number[],
  filterShape: readonly number[],
  attrs: NamedAttrMap | undefined,
  isDepthwise: boolean,
): ConvolutionInfo {
  const { strides, pad, dataFormat = 'NHWC', dilations, dimRoundingMode } = attrs as unknown as ConvolutionAttributes;
  if (dataFormat !== 'NHWC') {
    throw new RangeError(
      `training kernels: expected images with channels last (NHWC), got ${dataFormat}, which tfjs' wasm backend does not compute; ` +
        `build the model with dataFormat: 'channelsLast'`,
    );
  }
  return backend_util.computeConv2DInfo(
    inputShape as Shape4D,
    filterShape as Shape4D,
    strides,
    dilations ?? 1,
    pad,
    dimRoundingMode,
    isDepthwise,
    'channelsLast',
  );
}

/** Rows and columns that the filter spans, less one. */
export function reachOf(info: ConvolutionInfo): Pair {
  return [info.dilationHeight * (info.filterHeight - 1), info.dilationWidth * (info.filterWidth - 1)];
}

/** A convolution without padding. By its kernel: the operation of tfjs refuses strides together with dilations. */
export function convolve(
  kernelName: 'Conv2D' | 'DepthwiseConv2dNative',
  x: Tensor,
  filter: Tensor,
  strides: Pair,
  dilations: Pair,
): Tensor4D {
  // Plain literals: the types of tfjs have no read-only arrays.
  const attrs = { strides: [...strides], dilations: [...dilations], pad: 'valid', dataFormat: 'NHWC' };
  const inputs: NamedTensorInfoMap = { x, filter };
  return engine().runKernel(kernelName, inputs as Record<string, Tensor>, attrs);
}

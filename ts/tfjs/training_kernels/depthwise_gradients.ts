/** Gradients of depthwise convolutions, in which each channel has filters of its own. */

import { engine, reshape, reverse, sum, type Tensor4D, type TensorInfo } from '@tensorflow/tfjs-core';
import { type ConvolutionInfo, convolve } from './convolution.ts';
import { at, valuesOf, type WasmMemory } from './wasm_memory.ts';
import { readWindow, spreadGradient } from './windows.ts';

/**
 * dx, as of plain convolutions, by a depthwise one.
 * @param dy - shape (N, P, Q, C·M), the M outputs of a channel side by side.
 * @param filter - shape (I, J, C, M).
 * @returns shape (N, H, W, C).
 */
export function depthwiseInputGradient(dy: Tensor4D, filter: Tensor4D, info: ConvolutionInfo): Tensor4D {
  const [height, width, channels, multiplier] = filter.shape;
  const turned = reshape(reverse(filter, [0, 1]), [height, width, channels * multiplier, 1]);
  const dilations = [info.dilationHeight, info.dilationWidth] as const;
  const parts = convolve('DepthwiseConv2dNative', spreadGradient(dy, info), turned, [1, 1], dilations);
  if (multiplier === 1) {
    return parts;
  }
  const [samples, inHeight, inWidth] = parts.shape;
  return sum(reshape(parts, [samples, inHeight, inWidth, channels, multiplier]), -1);
}

/**
 * dw[i, j, c, m] = Σ x[n, s·p + d·i − top, s·q + d·j − left, c] · dy[n, p, q, c·M + m], summed in f64.
 *
 * Loops: as a convolution it would have one input channel per group, which the backend computes at an eighth of its speed.
 * @param x - shape (N, H, W, C).
 * @param dy - shape (N, P, Q, C·M).
 * @returns shape (I, J, C, M).
 */
export function depthwiseFilterGradient(
  x: Tensor4D,
  dy: TensorInfo,
  info: ConvolutionInfo,
  backend: WasmMemory,
): Tensor4D {
  const read = readWindow(x, info);
  const output = backend.makeOutput(info.filterShape, 'float32');
  const [xs, dys, dw] = [valuesOf(backend, read), valuesOf(backend, dy), valuesOf(backend, output)];
  const { filterHeight, filterWidth, outChannels } = info;
  const zeros = (): Float64Array => new Float64Array(outChannels);
  const sums: Three<Float64Array> = [zeros(), zeros(), zeros()];
  for (let i = 0; i < filterHeight; i += 1) {
    for (let j = 0; j < filterWidth; j += 3) {
      sums.forEach((sum) => sum.fill(0));
      // Beyond the last column the last is summed once more, and not kept.
      const columns: Three<number> = [j, Math.min(j + 1, filterWidth - 1), Math.min(j + 2, filterWidth - 1)];
      addTaps(sums, xs, dys, info, read.shape, i, columns);
      sums.slice(0, filterWidth - j).forEach((sum, k) => dw.set(sum, (i * filterWidth + j + k) * outChannels));
    }
  }
  return engine().makeTensorFromTensorInfo(output) as Tensor4D;
}

type Three<T> = readonly [T, T, T];

/** Adds what three taps of a row of the filters have: they share the values of dy. */
function addTaps(
  sums: Three<Float64Array>,
  xs: Float32Array,
  dys: Float32Array,
  info: ConvolutionInfo,
  [samples, readHeight, readWidth, inChannels]: Tensor4D['shape'],
  i: number,
  columns: Three<number>,
): void {
  const { outHeight, outWidth, outChannels, strideHeight, strideWidth, dilationHeight, dilationWidth } = info;
  const multiplier = outChannels / inChannels;
  const step = strideWidth * inChannels;
  const tap = dilationWidth * inChannels;
  const [first, second, third] = [columns[0] * tap, columns[1] * tap, columns[2] * tap];
  for (let n = 0; n < samples; n += 1) {
    for (let p = 0; p < outHeight; p += 1) {
      const rowOfX = (n * readHeight + p * strideHeight + i * dilationHeight) * readWidth * inChannels;
      const rowOfDy = (n * outHeight + p) * outWidth * outChannels;
      for (let o = 0; o < outChannels; o += 1) {
        let from = rowOfX + Math.floor(o / multiplier);
        let to = rowOfDy + o;
        let [a, b, c] = [0, 0, 0];
        for (let q = 0; q < outWidth; q += 1) {
          const dy = at(dys, to);
          a += at(xs, from + first) * dy;
          b += at(xs, from + second) * dy;
          c += at(xs, from + third) * dy;
          from += step;
          to += outChannels;
        }
        addAt(sums[0], o, a);
        addAt(sums[1], o, b);
        addAt(sums[2], o, c);
      }
    }
  }
}

function addAt(sums: Float64Array, index: number, value: number): void {
  sums[index] = (sums[index] ?? NaN) + value;
}

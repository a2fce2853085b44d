/** Gradients of max and average pooling, of images and of volumes; and max pooling of volumes, which the backend's own kernel has wrong. */

import { type TensorInfo } from '@tensorflow/tfjs-core';
import { forEachWindow, type Pooling } from './pooling.ts';
import { at, valuesOf, type WasmMemory, wholeAt, zeroOutput } from './wasm_memory.ts';

/**
 * Each output's gradient goes to the first of the window's largest values. The backend's own kernel gives nothing to windows without a
 * positive value.
 * @param x - the input of the pooling, shape (N, H, W, C) or (N, D, H, W, C).
 * @returns the shape of `x`.
 */
export function maxPoolGradient(x: TensorInfo, dy: TensorInfo, pooling: Pooling, backend: WasmMemory): TensorInfo {
  const output = zeroOutput(backend, x.shape);
  const [xs, dys, dx] = [valuesOf(backend, x), valuesOf(backend, dy), valuesOf(backend, output)];
  const { channels } = pooling;
  forEachMaximum(xs, pooling, (best, first) => {
    for (let c = 0; c < channels; c += 1) {
      dx[wholeAt(best, c)] = at(dx, wholeAt(best, c)) + at(dys, first + c);
    }
  });
  return output;
}

/** Max pooling. For windows without a positive value the backend's own kernel of volumes gives the smallest positive number. */
export function maxPool(x: TensorInfo, pooling: Pooling, backend: WasmMemory): TensorInfo {
  const output = zeroOutput(backend, pooling.outShape);
  const [xs, ys] = [valuesOf(backend, x), valuesOf(backend, output)];
  forEachMaximum(xs, pooling, (best, first) => {
    for (let c = 0; c < pooling.channels; c += 1) ys[first + c] = at(xs, wholeAt(best, c));
  });
  return output;
}

/**
 * Calls `visit` with each window that has values.
 * @param visit - gets the index of the first of the largest values of each channel, in an array that is used again, and that of the output of
 * channel 0.
 */
function forEachMaximum(xs: Float32Array, pooling: Pooling, visit: (best: Int32Array, output: number) => void): void {
  const { channels } = pooling;
  const best = new Int32Array(channels);
  forEachWindow(pooling, (positions, count, output) => {
    // A window that lies in the padding has none.
    if (count === 0) return;
    for (let c = 0; c < channels; c += 1) best[c] = wholeAt(positions, 0) + c;
    for (let i = 1; i < count; i += 1) {
      const position = wholeAt(positions, i);
      for (let c = 0; c < channels; c += 1) {
        if (at(xs, position + c) > at(xs, wholeAt(best, c))) best[c] = position + c;
      }
    }
    visit(best, output);
  });
}

/**
 * Each output's gradient, divided by the number of values that it is the mean of, goes to all of them. tfjs divides by the size of the window, padding
 * included, although its forward pass leaves the padding out.
 * @param x - the input of the pooling, whose values do not matter.
 * @returns the shape of `x`.
 */
export function avgPoolGradient(x: TensorInfo, dy: TensorInfo, pooling: Pooling, backend: WasmMemory): TensorInfo {
  const output = zeroOutput(backend, x.shape);
  const [dys, dx] = [valuesOf(backend, dy), valuesOf(backend, output)];
  const { channels } = pooling;
  forEachWindow(pooling, (positions, count, first) => {
    for (let i = 0; i < count; i += 1) {
      const position = wholeAt(positions, i);
      for (let c = 0; c < channels; c += 1) {
        dx[position + c] = at(dx, position + c) + at(dys, first + c) / count;
      }
    }
  });
  return output;
}

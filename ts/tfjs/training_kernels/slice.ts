/** Slices in tfjs' wasm backend. Its own kernel copies the whole input out of its memory first, and a padded layer's gradient is a slice. */

import { type KernelFunc, slice_util, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { inputsOf } from './kernel_inputs.ts';
import { valuesOf, type WasmMemory, wasmMemory } from './wasm_memory.ts';

/** The kernel, with copies of rows for values of type f32. */
export function withoutCopyOfInput(kernel: KernelFunc): KernelFunc {
  return (args) => {
    const { x } = inputsOf(args, ['x']);
    if (x.dtype !== 'float32' || x.shape.length === 0) {
      return kernel(args);
    }
    const { begin, size } = args.attrs as unknown as { readonly begin: number | number[]; readonly size: number[] };
    const [first, lengths] = slice_util.parseSliceParams(x, begin, size) as [number[], number[]];
    return sliceRows(x, first, lengths, wasmMemory(args.backend));
  };
}

function sliceRows(x: TensorInfo, first: number[], lengths: number[], backend: WasmMemory): TensorInfo {
  const output = backend.makeOutput(lengths, 'float32');
  const [from, to] = [valuesOf(backend, x), valuesOf(backend, output)];
  const rowLength = lengths.at(-1) ?? 0;
  const strides = [...util.computeStrides(x.shape), 1];
  const outer = lengths.slice(0, -1);
  const index = outer.map(() => 0);
  let start = first.reduce((sum, each, dim) => sum + each * (strides[dim] ?? 0), 0);
  for (let at = 0; at < to.length; at += rowLength) {
    to.set(from.subarray(start, start + rowLength), at);
    // On to the next row: as an odometer.
    for (let dim = outer.length - 1; dim >= 0; dim -= 1) {
      const next = (index[dim] ?? 0) + 1;
      const stride = strides[dim] ?? 0;
      if (next < (outer[dim] ?? 0)) {
        index[dim] = next;
        start += stride;
        break;
      }
      index[dim] = 0;
      start -= (next - 1) * stride;
    }
  }
  return output;
}

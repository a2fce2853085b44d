/**
 * The backend's own convolutions, with padding `same` given as numbers: where the stride exceeds the filter they give zeros for the word, and the right
 * values for the same padding in numbers.
 */

import { type KernelFunc, type NamedAttrMap } from '@tensorflow/tfjs-core';
import { describeConvolution } from './convolution.ts';
import { inputsOf, type KernelInputs } from './kernel_inputs.ts';

/** The kernel of a convolution, called with numbers. */
export function withExplicitPadding(kernel: KernelFunc, isDepthwise: boolean): KernelFunc {
  return (args) => kernel({ ...args, attrs: explicit(inputsOf(args, ['x', 'filter']), args.attrs, isDepthwise) });
}

function explicit(
  { x, filter }: KernelInputs<'x' | 'filter'>,
  attrs: NamedAttrMap | undefined,
  isDepthwise: boolean,
): NamedAttrMap {
  if (attrs?.['pad'] !== 'same') {
    return attrs ?? {};
  }
  const { top, bottom, left, right } = describeConvolution(x.shape, filter.shape, attrs, isDepthwise).padInfo;
  return { ...attrs, pad: [[0, 0], [top, bottom], [left, right], [0, 0]] }; // prettier-ignore
}

/**
 * Gradients of dilated convolutions, which tfjs refuses although nothing but its check is in the way: the kernels of this folder compute them. On other
 * backends tfjs' own gradient runs, and refuses.
 */

import {
  backend_util,
  engine,
  getBackend,
  type GradConfig,
  type NamedAttrMap,
  type NamedTensorInfoMap,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { exchangeGradient, registeredGradient, type Undo } from './registration.ts';

/** The kernels of a convolution's gradients. */
const gradientKernels = {
  Conv2D: ['Conv2DBackpropInput', 'Conv2DBackpropFilter'],
  Conv3D: ['Conv3DBackpropInputV2', 'Conv3DBackpropFilterV2'],
  DepthwiseConv2dNative: ['DepthwiseConv2dNativeBackpropInput', 'DepthwiseConv2dNativeBackpropFilter'],
} as const;

/** Lets dilated convolutions on the backend have gradients. */
export function allowDilatedGradients(backendName: string): Undo[] {
  return (['Conv2D', 'Conv3D', 'DepthwiseConv2dNative'] as const).flatMap((kernelName) => {
    const own = registeredGradient(kernelName);
    return own === undefined ? [] : [exchangeGradient(withDilations(own, kernelName, backendName))];
  });
}

function withDilations(own: GradConfig, kernelName: keyof typeof gradientKernels, backendName: string): GradConfig {
  const [ofInput, ofFilter] = gradientKernels[kernelName];
  return {
    ...own,
    gradFunc: (dy, saved, attrs) => {
      if (getBackend() !== backendName || !isDilated(attrs)) {
        return own.gradFunc(dy, saved, attrs);
      }
      const [x, filter] = saved as [Tensor, Tensor];
      const run = (name: string, inputs: NamedTensorInfoMap, more: NamedAttrMap): Tensor =>
        engine().runKernel(name, inputs as Record<string, Tensor>, { ...attrs, ...more });
      const gradient = dy as Tensor;
      return {
        x: () => run(ofInput, { dy: gradient, filter }, { inputShape: x.shape }),
        filter: () => run(ofFilter, { x, dy: gradient }, { filterShape: filter.shape }),
      };
    },
  };
}

function isDilated(attrs: NamedAttrMap): boolean {
  const dilations = attrs['dilations'] as number | number[] | null | undefined;
  return dilations !== null && dilations !== undefined && !backend_util.tupleValuesAreOne(dilations);
}

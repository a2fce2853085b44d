/** The kernels that are registered, as tfjs calls them. */

import { type KernelFunc, type NamedAttrMap, tidy } from '@tensorflow/tfjs-core';
import { describeConvolution } from './convolution.ts';
import { filterGradient, inputGradient } from './convolution_gradients.ts';
import { depthwiseFilterGradient, depthwiseInputGradient } from './depthwise_gradients.ts';
import { asTensor, inputsOf } from './kernel_inputs.ts';
import { describePooling } from './pooling.ts';
import { avgPoolGradient, maxPool, maxPoolGradient } from './pooling_gradients.ts';
import { describeVolumeConvolution, volumeFilterGradient, volumeInputGradient } from './volume_gradients.ts';
import { wasmMemory } from './wasm_memory.ts';

/** By tfjs' names. Among them is a forward pass that the backend has wrong. */
export const kernels: Readonly<Record<string, KernelFunc>> = /* @__PURE__ */ kernelsByName();

/** A function, so that a bundle that does not use the kernels has none of them. */
function kernelsByName(): Record<string, KernelFunc> {
  return {
    Conv2DBackpropFilter: (args) => {
      const { x, dy } = inputsOf(args, ['x', 'dy']);
      const info = describeConvolution(x.shape, shapeIn(args.attrs, 'filterShape'), args.attrs, false);
      return tidy(() => filterGradient(asTensor(x), asTensor(dy), info));
    },
    Conv2DBackpropInput: (args) => {
      const { dy, filter } = inputsOf(args, ['dy', 'filter']);
      const info = describeConvolution(shapeIn(args.attrs, 'inputShape'), filter.shape, args.attrs, false);
      return tidy(() => inputGradient(asTensor(dy), asTensor(filter), info));
    },
    DepthwiseConv2dNativeBackpropFilter: (args) => {
      const { x, dy } = inputsOf(args, ['x', 'dy']);
      const info = describeConvolution(x.shape, shapeIn(args.attrs, 'filterShape'), args.attrs, true);
      const backend = wasmMemory(args.backend);
      return tidy(() => depthwiseFilterGradient(asTensor(x), dy, info, backend));
    },
    DepthwiseConv2dNativeBackpropInput: (args) => {
      const { dy, filter } = inputsOf(args, ['dy', 'filter']);
      const info = describeConvolution(shapeIn(args.attrs, 'inputShape'), filter.shape, args.attrs, true);
      return tidy(() => depthwiseInputGradient(asTensor(dy), asTensor(filter), info));
    },
    Conv3DBackpropFilterV2: (args) => {
      const { x, dy } = inputsOf(args, ['x', 'dy']);
      const info = describeVolumeConvolution(x.shape, shapeIn(args.attrs, 'filterShape'), args.attrs);
      return tidy(() => volumeFilterGradient(asTensor(x), asTensor(dy), info));
    },
    Conv3DBackpropInputV2: (args) => {
      const { dy, filter } = inputsOf(args, ['dy', 'filter']);
      const info = describeVolumeConvolution(shapeIn(args.attrs, 'inputShape'), filter.shape, args.attrs);
      return tidy(() => volumeInputGradient(asTensor(dy), asTensor(filter), info));
    },
    MaxPool3D: (args) => {
      const { x } = inputsOf(args, ['x']);
      return maxPool(x, describePooling(x.shape, args.attrs), wasmMemory(args.backend));
    },
    ...both('MaxPoolGrad', 'MaxPool3DGrad', (args) => {
      const { dy, input } = inputsOf(args, ['dy', 'input']);
      return maxPoolGradient(input, dy, describePooling(input.shape, args.attrs), wasmMemory(args.backend));
    }),
    ...both('AvgPoolGrad', 'AvgPool3DGrad', (args) => {
      const { dy, input } = inputsOf(args, ['dy', 'input']);
      return avgPoolGradient(input, dy, describePooling(input.shape, args.attrs), wasmMemory(args.backend));
    }),
  };
}

/** Images and volumes have kernels of different names. */
function both(ofImages: string, ofVolumes: string, kernel: KernelFunc): Record<string, KernelFunc> {
  return { [ofImages]: kernel, [ofVolumes]: kernel };
}

function shapeIn(attrs: NamedAttrMap | undefined, name: 'filterShape' | 'inputShape'): number[] {
  return attrs?.[name] as number[];
}

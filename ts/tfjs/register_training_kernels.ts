/** Kernels with which convolutional networks train on tfjs' wasm backend. */

import type { KernelFunc } from '@tensorflow/tfjs-core';
import { allowDilatedGradients } from './training_kernels/dilated_gradients.ts';
import { unfuseDilatedLayers } from './training_kernels/dilated_layers.ts';
import { withExplicitPadding } from './training_kernels/explicit_padding.ts';
import { kernels } from './training_kernels/kernels.ts';
import { exchangeKernel, registeredKernel } from './training_kernels/registration.ts';
import { withoutCopyOfInput } from './training_kernels/slice.ts';

const backendName = 'wasm';

/** What is changed in the backend's own kernels. */
const changes: Readonly<Record<string, (kernel: KernelFunc) => KernelFunc>> = {
  Conv2D: (kernel) => withExplicitPadding(kernel, false),
  FusedConv2D: (kernel) => withExplicitPadding(kernel, false),
  DepthwiseConv2dNative: (kernel) => withExplicitPadding(kernel, true),
  FusedDepthwiseConv2D: (kernel) => withExplicitPadding(kernel, true),
  Slice: withoutCopyOfInput,
};

/** What is registered now; `null`: tfjs' own kernels. */
let undo: (() => void) | null = null;

/**
 * Registers kernels with which convolutional networks train on tfjs' wasm backend, for every model of the page:
 *
 * * gradients of convolutions, plain, depthwise, separable and transposed, strided and dilated, with any padding, in one and two dimensions. tfjs
 *   has none of the filter there, and refuses dilated ones on every backend;
 * * gradients of max and average pooling in one to three dimensions. tfjs' own lose the gradient of max windows without a positive value, and of
 *   average windows at the border divide by more values than the window has;
 * * convolutions with padding `same` whose stride exceeds the filter, which tfjs computes as zeros there;
 * * slices, as in gradients of padding, of which tfjs copies the whole input first.
 *
 * Other backends keep what they have. Calls after the first do nothing until it is undone.
 *
 * @returns a function that puts back what was registered before.
 * @throws Error where the wasm backend is not imported.
 *
 * @example
 * ```ts
 * import '@tensorflow/tfjs-backend-wasm';
 * registerTrainingKernels();
 * await tf.setBackend('wasm');
 * await model.fit(xs, ys);
 * ```
 */
export function registerTrainingKernels(): () => void {
  if (undo !== null) {
    return undo;
  }
  const own = Object.entries(changes).map(([kernelName, change]) => {
    const config = registeredKernel(kernelName, backendName);
    if (config === undefined) {
      throw new Error(
        `registerTrainingKernels(): expected tfjs' wasm backend, got no kernel ${kernelName} of it; import '@tensorflow/tfjs-backend-wasm' before`,
      );
    }
    return { ...config, kernelFunc: change(config.kernelFunc) };
  });
  const others = Object.entries(kernels).map(([kernelName, kernelFunc]) => ({
    kernelName,
    backendName,
    kernelFunc,
  }));
  const undoing = [
    ...[...own, ...others].map(exchangeKernel),
    ...allowDilatedGradients(backendName),
    ...unfuseDilatedLayers(backendName),
  ];
  const undoThis = (): void => {
    if (undo !== undoThis) return;
    undo = null;
    undoing.forEach((step) => step());
  };
  undo = undoThis;
  return undo;
}

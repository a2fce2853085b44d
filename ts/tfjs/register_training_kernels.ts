/** Kernels with which convolutional networks train on tfjs' wasm backend. */

import { allowDilatedGradients } from './training_kernels/dilated_gradients.ts';
import { unfuseDilatedLayers } from './training_kernels/dilated_layers.ts';
import { withExplicitPadding } from './training_kernels/explicit_padding.ts';
import { kernels } from './training_kernels/kernels.ts';
import { exchangeKernel, registeredKernel } from './training_kernels/registration.ts';

const backendName = 'wasm';

/** What is registered now; `null`: tfjs' own kernels. */
let undo: (() => void) | null = null;

/**
 * Registers kernels with which convolutional networks train on tfjs' wasm backend, for every model of the page:
 *
 * * gradients of convolutions, plain, depthwise, separable and transposed, strided and dilated, with any padding, in one and two dimensions. tfjs
 *   has none of the filter there, and refuses dilated ones on every backend;
 * * gradients of max and average pooling in one to three dimensions. tfjs' own lose the gradient of max windows without a positive value, and of
 *   average windows at the border divide by more values than the window has;
 * * convolutions with padding `same` whose stride exceeds the filter, which tfjs computes as zeros there.
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
  const forward = { Conv2D: false, FusedConv2D: false, DepthwiseConv2dNative: true, FusedDepthwiseConv2D: true };
  const own = Object.entries(forward).map(([kernelName, isDepthwise]) => {
    const config = registeredKernel(kernelName, backendName);
    if (config === undefined) {
      throw new Error(
        `registerTrainingKernels(): expected tfjs' wasm backend, got no kernel ${kernelName} of it; import '@tensorflow/tfjs-backend-wasm' before`,
      );
    }
    return { ...config, kernelFunc: withExplicitPadding(config.kernelFunc, isDepthwise) };
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

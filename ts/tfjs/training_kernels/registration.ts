/** Entries of tfjs' registry of kernels and gradients, exchanged and put back. */

import {
  getGradient,
  getKernel,
  type GradConfig,
  type KernelConfig,
  registerGradient,
  registerKernel,
  unregisterGradient,
  unregisterKernel,
} from '@tensorflow/tfjs-core';

/** Puts back what was there before. */
export type Undo = () => void;

/** Registers a kernel in the place of the one that is there, if any. */
export function exchangeKernel(config: KernelConfig): Undo {
  const { kernelName, backendName } = config;
  const put = (next: KernelConfig | undefined): void => {
    if (registeredKernel(kernelName, backendName) !== undefined) unregisterKernel(kernelName, backendName);
    if (next !== undefined) registerKernel(next);
  };
  const before = registeredKernel(kernelName, backendName);
  put(config);
  return () => put(before);
}

/** Registers a gradient in the place of the one that is there, if any. */
export function exchangeGradient(config: GradConfig): Undo {
  const { kernelName } = config;
  const put = (next: GradConfig | undefined): void => {
    if (registeredGradient(kernelName) !== undefined) unregisterGradient(kernelName);
    if (next !== undefined) registerGradient(next);
  };
  const before = registeredGradient(kernelName);
  put(config);
  return () => put(before);
}

/** The types of tfjs say that there always is one. */
export function registeredKernel(kernelName: string, backendName: string): KernelConfig | undefined {
  return getKernel(kernelName, backendName);
}

/** The types of tfjs say that there always is one. */
export function registeredGradient(kernelName: string): GradConfig | undefined {
  return getGradient(kernelName);
}

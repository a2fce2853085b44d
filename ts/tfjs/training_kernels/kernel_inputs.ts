/** The inputs of a kernel by name. */

import { type NamedTensorInfoMap, type Rank, Tensor, type TensorInfo } from '@tensorflow/tfjs-core';

/** Inputs that a kernel must have. */
export type KernelInputs<Name extends string> = Readonly<Record<Name, TensorInfo>>;

/** @throws TypeError where one is missing. */
export function inputsOf<Name extends string>(
  { inputs }: { readonly inputs: NamedTensorInfoMap },
  names: readonly Name[],
): KernelInputs<Name> {
  const missing = names.find((name) => inputs[name] === undefined);
  if (missing !== undefined) {
    throw new TypeError(`training kernels: expected inputs ${names.join(', ')}, got none for ${missing}`);
  }
  return inputs as KernelInputs<Name>;
}

/** tfjs' engine hands tensors to kernels, although their type promises less. @throws TypeError for anything else. */
export function asTensor<R extends Rank>(info: TensorInfo): Tensor<R> {
  if (info instanceof Tensor) {
    return info as Tensor<R>;
  }
  throw new TypeError(
    'training kernels: expected a tensor as input, got its description; call the kernel by tf.engine().runKernel()',
  );
}

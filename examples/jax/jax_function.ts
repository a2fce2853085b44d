/** Functions of jax-js as differentiable functions of the library. */

import { jit, numpy as np, vjp } from '@jax-js/jax';
import { defineFunction, tensor, type Tensor } from 'syncbn';

/** The gradient of one call, which keeps arrays of jax-js until it is disposed. */
type Pullback = ((dy: np.Array) => np.Array[]) & { dispose(): void };

/**
 * Makes a function of arrays one of tensors: compiled once per shapes, with gradients for all inputs, on any device of the library. It returns
 * one array of f32 values.
 */
export function jaxFunction<Inputs extends np.Array[]>(
  fn: (...inputs: Inputs) => np.Array,
): (...inputs: { [K in keyof Inputs]: Tensor }) => Promise<Tensor> {
  const compiled = jit(fn) as unknown as (...inputs: np.Array[]) => np.Array;
  const define = defineFunction<readonly Tensor[], Tensor>({
    name: fn.name,
    async forward(context, ...inputs) {
      const arrays = await Promise.all(inputs.map(toArray));
      const [y, pullback] = vjp(compiled, arrays) as unknown as [np.Array, Pullback];
      context.attributes['pullback'] = pullback;
      context.onFree(() => pullback.dispose());
      return toTensor(y, inputs[0]?.device);
    },
    async backward({ attributes }, dy) {
      const gradients = (attributes['pullback'] as Pullback)(await toArray(dy));
      return Promise.all(gradients.map((gradient) => toTensor(gradient, dy.device)));
    },
  });
  return define;
}

async function toArray(given: Tensor): Promise<np.Array> {
  return np.array(await given.data()).reshape([...given.shape]);
}

/** Consumes the array. */
async function toTensor(array: np.Array, device = 'cpu'): Promise<Tensor> {
  const shape = [...array.shape];
  return tensor((await array.data()) as Float32Array, shape, { device });
}

/** Images to rows of features. */

import { defineFunction, Module, tensor, type Tensor } from 'syncbn';
import { savedTensor } from './saved.ts';

/** The same values as a matrix. Shapes: x (N, …), y (N, product of the rest). */
export const flatten = defineFunction({
  name: 'flatten',
  forward: async (context, x: Tensor) => {
    // Saved for its shape alone.
    context.saveForBackward(x);
    const [samples = 1, ...rest] = x.shape;
    const features = rest.reduce((product, size) => product * size, 1);
    return tensor(await x.data(), [samples, features], { device: x.device });
  },
  backward: async (context, dy) => {
    const x = savedTensor(context);
    return tensor(await dy.data(), x.shape, { device: dy.device });
  },
});

/** {@link flatten} as a module. */
export class Flatten extends Module {
  async forward(x: Tensor): Promise<Tensor> {
    return flatten(x);
  }
}

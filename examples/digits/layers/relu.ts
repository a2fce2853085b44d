/** The rectified linear unit. */

import { defineFunction, Module, tensor, type Tensor } from 'syncbn';
import { savedTensor } from './saved.ts';

/** `y = max(x, 0)`, any shape. */
export const relu = defineFunction({
  name: 'relu',
  forward: async (context, x: Tensor) => {
    // data() returns a copy, which may be written over.
    const values = await x.data();
    for (let i = 0; i < values.length; i++) {
      values[i] = Math.max(values[i] ?? 0, 0);
    }
    const y = tensor(values, x.shape, { device: x.device });
    context.saveForBackward(y);
    return y;
  },
  backward: async (context, dy) => {
    const y = savedTensor(context);
    const [output, dOutput] = await Promise.all([y.data(), dy.data()]);
    for (let i = 0; i < output.length; i++) {
      dOutput[i] = (output[i] ?? 0) > 0 ? (dOutput[i] ?? 0) : 0;
    }
    return tensor(dOutput, dy.shape, { device: dy.device });
  },
});

/** {@link relu} as a module. */
export class ReLU extends Module {
  async forward(x: Tensor): Promise<Tensor> {
    return relu(x);
  }
}

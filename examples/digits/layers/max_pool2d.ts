/** Max pooling over windows of 2 × 2 pixels. */

import { defineFunction, Module, tensor, type Tensor } from 'syncbn';
import { savedTensor } from './saved.ts';
import { imageSizes } from './sizes.ts';

/** The largest value of every 2 × 2 window. Shapes: x (N, C, H, W) with even H and W, y (N, C, H/2, W/2). */
export const maxPool2d = defineFunction({
  name: 'maxPool2d',
  forward: async (context, x: Tensor) => {
    context.saveForBackward(x);
    const { samples, channels, height, width } = pooledSizes(x);
    const values = await x.data();
    const indices = winners(values, width);
    const y = new Float32Array(indices.length);
    for (let i = 0; i < y.length; i++) {
      y[i] = values[indices[i] ?? 0] ?? 0;
    }
    return tensor(y, [samples, channels, height, width], { device: x.device });
  },
  // The gradient of a window goes to its largest value, the first one where several are equal, as in PyTorch.
  backward: async (context, dy) => {
    const x = savedTensor(context);
    const { width } = pooledSizes(x);
    const [values, dOutput] = await Promise.all([x.data(), dy.data()]);
    const dx = new Float32Array(values.length);
    const indices = winners(values, width);
    for (let i = 0; i < indices.length; i++) {
      // No two windows overlap.
      dx[indices[i] ?? 0] = dOutput[i] ?? 0;
    }
    return tensor(dx, x.shape, { device: x.device });
  },
});

/** {@link maxPool2d} as a module. */
export class MaxPool2d extends Module {
  async forward(x: Tensor): Promise<Tensor> {
    return maxPool2d(x);
  }
}

function pooledSizes(x: Tensor) {
  const { samples, channels, height, width } = imageSizes('maxPool2d', x);
  if (height % 2 !== 0 || width % 2 !== 0) {
    throw new RangeError(`maxPool2d: expected even height and width, got shape [${x.shape.join(', ')}]`);
  }
  return { samples, channels, height: height / 2, width: width / 2 };
}

/** Where the largest value of each window lies; `width` is that of the output. */
function winners(values: Float32Array, width: number): Uint32Array {
  const indices = new Uint32Array(values.length / 4);
  for (let i = 0; i < indices.length; i++) {
    const corner = 4 * Math.floor(i / width) * width + 2 * (i % width);
    const upper = larger(values, corner, corner + 1);
    const lower = larger(values, corner + 2 * width, corner + 2 * width + 1);
    indices[i] = larger(values, upper, lower);
  }
  return indices;
}

/** The index of the larger value; the first where they are equal. */
function larger(values: Float32Array, first: number, second: number): number {
  return (values[second] ?? 0) > (values[first] ?? 0) ? second : first;
}

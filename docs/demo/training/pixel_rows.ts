/** Images of scores as rows, so that each pixel is classified as a sample is. */

import { defineFunction, Module, tensor, type Tensor } from 'syncbn';
import { savedTensor } from '../../../examples/digits/layers/saved.ts';
import { imageSizes } from '../../../examples/digits/layers/sizes.ts';

/** The scores of each pixel as a row. Shapes: x (N, K, H, W), y (N · H · W, K). */
export const pixelRows = defineFunction({
  name: 'pixelRows',
  forward: async (context, x: Tensor) => {
    // Saved for its shape alone.
    context.saveForBackward(x);
    const { samples, channels, height, width } = imageSizes('pixelRows', x);
    const rows = transposeEach(await x.data(), samples, channels, height * width);
    return tensor(rows, [samples * height * width, channels], { device: x.device });
  },
  backward: async (context, dy) => {
    const x = savedTensor(context);
    const { samples, channels, height, width } = imageSizes('pixelRows', x);
    return tensor(transposeEach(await dy.data(), samples, height * width, channels), x.shape, { device: dy.device });
  },
});

/** {@link pixelRows} as a module. */
export class PixelRows extends Module {
  async forward(x: Tensor): Promise<Tensor> {
    return pixelRows(x);
  }
}

/** The transpose of each of several matrices that lie one after another. */
function transposeEach(matrices: Float32Array, count: number, rows: number, columns: number): Float32Array {
  const transposed = new Float32Array(matrices.length);
  for (let start = 0; start < count * rows * columns; start += rows * columns) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        transposed[start + column * rows + row] = matrices[start + row * columns + column] ?? 0;
      }
    }
  }
  return transposed;
}

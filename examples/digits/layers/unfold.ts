/**
 * Images as matrices, so that a convolution becomes a matrix product (PyTorch's `unfold` and `fold`, also called im2col).
 *
 * Kernels are square with an odd side, the stride is 1 and the border is padded with zeros, so that height and width stay.
 */

/** One image of some channels, and the side of the kernel that moves over it. */
export interface Window {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly kernel: number;
}

/**
 * The values under the kernel at each pixel: a matrix of (channels · kernel²) × (height · width).
 * @param image - values of one sample, (C, H, W).
 * @param columns - the matrix to write; what it held is overwritten.
 */
export function unfold(image: Float32Array, window: Window, columns: Float32Array): void {
  columns.fill(0);
  eachOverlap(window, (column, pixel, count) => {
    for (let i = 0; i < count; i++) {
      columns[column + i] = image[pixel + i] ?? 0;
    }
  });
}

/** The adjoint of {@link unfold}: adds every element of the matrix to the pixel it was read from. */
export function fold(columns: Float32Array, window: Window, image: Float32Array): void {
  eachOverlap(window, (column, pixel, count) => {
    for (let i = 0; i < count; i++) {
      image[pixel + i] = (image[pixel + i] ?? 0) + (columns[column + i] ?? 0);
    }
  });
}

/**
 * Calls `visit` for every run of consecutive elements of the matrix that come from consecutive pixels of the image: one
 * run per element of the kernel and row of the image, without what hangs over the border.
 */
function eachOverlap(window: Window, visit: (column: number, pixel: number, count: number) => void): void {
  const { channels, height, width, kernel } = window;
  const padding = (kernel - 1) / 2;
  for (let row = 0; row < channels * kernel * kernel; row++) {
    const channel = Math.floor(row / (kernel * kernel));
    const shiftY = (Math.floor(row / kernel) % kernel) - padding;
    const shiftX = (row % kernel) - padding;
    const firstX = Math.max(0, -shiftX);
    const count = width - Math.abs(shiftX);
    const lastY = Math.min(height, height - shiftY);
    for (let y = Math.max(0, -shiftY); y < lastY && count > 0; y++) {
      visit((row * height + y) * width + firstX, (channel * height + y + shiftY) * width + firstX + shiftX, count);
    }
  }
}

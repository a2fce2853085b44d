/** Dimensions in another order. */

/**
 * The values of an array whose dimensions change places, as `tf.transpose` and `torch.permute` order them.
 * @param order - for each dimension of the result, which one of `shape` it is.
 */
export function permuted(values: Float32Array, shape: readonly number[], order: readonly number[]): Float32Array {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
  const result = new Float32Array(values.length);
  let to = 0;
  const visit = (level: number, from: number): void => {
    const [size = 0, stride = 0] = [shape[order[level] ?? 0], strides[order[level] ?? 0]];
    for (let i = 0; i < size; i += 1) {
      if (level < order.length - 1) {
        visit(level + 1, from + i * stride);
      } else {
        result[to] = values[from + i * stride] ?? NaN;
        to += 1;
      }
    }
  };
  visit(0, 0);
  return result;
}

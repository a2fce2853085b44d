/**
 * Matrix products on host arrays, the arithmetic of the convolution and the linear layer.
 *
 * Matrices are row-major. Both products add to `out`, because gradients are sums over samples. They work in blocks of eight
 * products, so that each value loaded is used more than once: about five times as fast as three plain loops, which do the
 * edges that fill no block.
 */

/** `out` has rows × columns values, `a` rows × inner, and `b` inner × columns or, where it is transposed, columns × inner. */
export interface ProductSize {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
}

/** `out += a · b`. */
export function addProduct(out: Float32Array, a: Float32Array, b: Float32Array, size: ProductSize): void {
  const { rows, inner, columns } = size;
  const blockRows = rows - (rows % 2);
  const blockInner = inner - (inner % 4);
  for (let row = 0; row < blockRows; row += 2) {
    const out0 = row * columns;
    const out1 = out0 + columns;
    for (let k = 0; k < blockInner; k += 4) {
      const upper = row * inner + k;
      const lower = upper + inner;
      const u0 = a[upper] ?? 0;
      const u1 = a[upper + 1] ?? 0;
      const u2 = a[upper + 2] ?? 0;
      const u3 = a[upper + 3] ?? 0;
      const l0 = a[lower] ?? 0;
      const l1 = a[lower + 1] ?? 0;
      const l2 = a[lower + 2] ?? 0;
      const l3 = a[lower + 3] ?? 0;
      const row0 = k * columns;
      const row1 = row0 + columns;
      const row2 = row1 + columns;
      const row3 = row2 + columns;
      for (let i = 0; i < columns; i++) {
        const b0 = b[row0 + i] ?? 0;
        const b1 = b[row1 + i] ?? 0;
        const b2 = b[row2 + i] ?? 0;
        const b3 = b[row3 + i] ?? 0;
        out[out0 + i] = (out[out0 + i] ?? 0) + u0 * b0 + u1 * b1 + u2 * b2 + u3 * b3;
        out[out1 + i] = (out[out1 + i] ?? 0) + l0 * b0 + l1 * b1 + l2 * b2 + l3 * b3;
      }
    }
  }
  for (let row = 0; row < rows; row++) {
    for (let k = row < blockRows ? blockInner : 0; k < inner; k++) {
      const factor = a[row * inner + k] ?? 0;
      for (let i = 0; i < columns; i++) {
        addAt(out, row * columns + i, factor * (b[k * columns + i] ?? 0));
      }
    }
  }
}

/** `out += a · bᵀ`. */
export function addProductTransposed(out: Float32Array, a: Float32Array, b: Float32Array, size: ProductSize): void {
  const { rows, inner, columns } = size;
  const blockRows = rows - (rows % 4);
  const blockColumns = columns - (columns % 2);
  for (let column = 0; column < blockColumns; column += 2) {
    const left = column * inner;
    const right = left + inner;
    for (let row = 0; row < blockRows; row += 4) {
      const row0 = row * inner;
      const row1 = row0 + inner;
      const row2 = row1 + inner;
      const row3 = row2 + inner;
      let left0 = 0;
      let left1 = 0;
      let left2 = 0;
      let left3 = 0;
      let right0 = 0;
      let right1 = 0;
      let right2 = 0;
      let right3 = 0;
      for (let k = 0; k < inner; k++) {
        const l = b[left + k] ?? 0;
        const r = b[right + k] ?? 0;
        const a0 = a[row0 + k] ?? 0;
        const a1 = a[row1 + k] ?? 0;
        const a2 = a[row2 + k] ?? 0;
        const a3 = a[row3 + k] ?? 0;
        left0 += a0 * l;
        left1 += a1 * l;
        left2 += a2 * l;
        left3 += a3 * l;
        right0 += a0 * r;
        right1 += a1 * r;
        right2 += a2 * r;
        right3 += a3 * r;
      }
      const corner = row * columns + column;
      [left0, left1, left2, left3].forEach((sum, i) => addAt(out, corner + i * columns, sum));
      [right0, right1, right2, right3].forEach((sum, i) => addAt(out, corner + i * columns + 1, sum));
    }
  }
  for (let row = 0; row < rows; row++) {
    for (let column = row < blockRows ? blockColumns : 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) {
        sum += (a[row * inner + k] ?? 0) * (b[column * inner + k] ?? 0);
      }
      addAt(out, row * columns + column, sum);
    }
  }
}

/** The columns × rows transpose of a rows × columns matrix. */
export function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const transposed = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      transposed[column * rows + row] = matrix[row * columns + column] ?? 0;
    }
  }
  return transposed;
}

/** `array[index] += value`. */
export function addAt(array: Float32Array, index: number, value: number): void {
  array[index] = (array[index] ?? 0) + value;
}

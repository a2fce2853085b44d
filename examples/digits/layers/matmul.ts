/**
 * Matrix products on host arrays, the arithmetic of the convolution and the linear layer.
 *
 * Matrices are row-major. Both products add to `out`, so that a sum can begin with something, such as a bias. They work in
 * blocks of eight products, so that values are loaded and stored less often: about five times as fast as three plain loops,
 * which do the edges that fill no block. How a row of the result is rounded does not depend on the number of rows, so a
 * sample's values are the same bits in every batch.
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
  const blockInner = inner - (inner % 8);
  for (let row = 0; row < rows; row++) {
    const outRow = row * columns;
    for (let k = 0; k < blockInner; k += 8) {
      const first = row * inner + k;
      const a0 = a[first] ?? 0;
      const a1 = a[first + 1] ?? 0;
      const a2 = a[first + 2] ?? 0;
      const a3 = a[first + 3] ?? 0;
      const a4 = a[first + 4] ?? 0;
      const a5 = a[first + 5] ?? 0;
      const a6 = a[first + 6] ?? 0;
      const a7 = a[first + 7] ?? 0;
      const b0 = k * columns;
      const b1 = b0 + columns;
      const b2 = b1 + columns;
      const b3 = b2 + columns;
      const b4 = b3 + columns;
      const b5 = b4 + columns;
      const b6 = b5 + columns;
      const b7 = b6 + columns;
      for (let i = 0; i < columns; i++) {
        const lower = a0 * (b[b0 + i] ?? 0) + a1 * (b[b1 + i] ?? 0) + a2 * (b[b2 + i] ?? 0) + a3 * (b[b3 + i] ?? 0);
        const upper = a4 * (b[b4 + i] ?? 0) + a5 * (b[b5 + i] ?? 0) + a6 * (b[b6 + i] ?? 0) + a7 * (b[b7 + i] ?? 0);
        out[outRow + i] = (out[outRow + i] ?? 0) + lower + upper;
      }
    }
    for (let k = blockInner; k < inner; k++) {
      const factor = a[row * inner + k] ?? 0;
      for (let i = 0; i < columns; i++) {
        addAt(out, outRow + i, factor * (b[k * columns + i] ?? 0));
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
function addAt(array: Float32Array, index: number, value: number): void {
  array[index] = (array[index] ?? 0) + value;
}

//! Matrices with rows and columns exchanged: what brings planes to rows and back.

use crate::simd::Lanes;

/// Rows that are moved together: the lines of cache that they are read from and written to stay in the first-level cache.
pub(crate) const TILE: usize = 64;

/// Moves a matrix with rows of `columns` adjacent values to where its columns are rows, `stride` values apart.
pub(crate) fn transpose<V: Lanes>(source: &[f32], columns: usize, target: &mut [f32], stride: usize) {
    for (number, rows) in source.chunks(TILE * columns).enumerate() {
        let (first, count) = (number * TILE, rows.len() / columns);
        // A matrix of less than four columns has no vectors.
        let in_vectors = if columns < 4 { 0 } else { count / 4 * 4 };
        for column in (0..columns).step_by(4).take_while(|_| in_vectors > 0) {
            // The last four columns are moved together, though some of them may have been moved before.
            let column = column.min(columns - 4);
            let mut targets = target[column * stride..].chunks_mut(stride);
            let targets = core::array::from_fn(|_| match targets.next() {
                Some(target) => target[first..first + in_vectors].as_chunks_mut().0,
                None => &mut [],
            });
            move_four_columns::<V>(&rows[..in_vectors * columns], columns, column, targets);
        }
        for row in in_vectors..count {
            for (column, value) in rows[row * columns..][..columns].iter().enumerate() {
                target[column * stride + first + row] = *value;
            }
        }
    }
}

/// The columns from `column` of rows whose number is a multiple of four.
#[inline(always)]
fn move_four_columns<V: Lanes>(rows: &[f32], columns: usize, column: usize, targets: [&mut [[f32; 4]]; 4]) {
    let [a, b, c, d] = targets;
    let targets = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
    for (rows, ((a, b), (c, d))) in rows.chunks_exact(4 * columns).zip(targets) {
        let moved = V::transpose(V::load_rows(&rows[column..], columns));
        for (target, values) in [a, b, c, d].into_iter().zip(moved) {
            values.store(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::simd::{Native, Scalar};

    #[test]
    fn each_value_is_where_its_row_and_column_say_and_nothing_else_is_written() {
        for rows in (0..14).chain([63, 64, 65, 130]) {
            for columns in (1..14).chain([31, 64]) {
                for stride in [rows, rows + 3] {
                    let source: Vec<f32> = (0_u16..).map(f32::from).take(rows * columns).collect();
                    let [mut native, mut scalar] = [(); 2].map(|()| vec![-1.0; columns * stride]);
                    transpose::<Native>(&source, columns, &mut native, stride);
                    transpose::<Scalar>(&source, columns, &mut scalar, stride);
                    assert_eq!(native, scalar);
                    for (place, value) in native.iter().enumerate() {
                        let (column, row) = (place / stride, place % stride);
                        let expected = if row < rows { source[row * columns + column] } else { -1.0 };
                        assert_eq!(value.to_bits(), expected.to_bits(), "{rows} × {columns}, stride {stride}");
                    }
                }
            }
        }
    }
}

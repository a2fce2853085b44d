//! Sums of rows, column by column, for what is merged by addition: backward sums and the two rounds of `torch` numerics.
//!
//! Terms are f32. Eight rows are added in pairs, in f32 or, for `torch` numerics, in f64; the accumulators are f32 for a
//! block of rows, or f64 throughout.

use crate::moments::pairwise;
use crate::reduce::Rows;
use crate::simd::{Doubles, Lanes};
use crate::super_rows::{STRIP, repeat};

/// Rows whose sums are kept in f32: an accumulator takes them in eights, so that it adds at most 32 times.
const BLOCK_ROWS: usize = 256;

/// What is summed: `SUMS` functions of the `INPUTS` elements at one place and their centre.
pub(crate) trait Terms<const INPUTS: usize, const SUMS: usize> {
    /// Whether f32 terms are added in f64.
    const IN_F64: bool;

    fn of_vectors<V: Lanes>(inputs: [V; INPUTS], centre: V) -> [V; SUMS];

    fn of_scalars(inputs: [f32; INPUTS], centre: f32) -> [f32; SUMS];
}

/// Sums of each channel over `inputs`, rows of equal shape: one row of `out` per sum. `centre` has a value per channel of the
/// rows; absent it is 0.
pub(crate) fn sums_of_rows<V: Lanes, T: Terms<INPUTS, SUMS>, const INPUTS: usize, const SUMS: usize>(
    inputs: [Rows<'_>; INPUTS],
    centre: Option<&[f32]>,
    out: &mut [f64],
) {
    let width = inputs[0].width;
    let parts = inputs.map(|rows| rows.super_rows());
    let super_rows = parts.map(|(super_rows, _)| super_rows);
    if super_rows[0].width == width {
        sums_of_columns::<V, T, INPUTS, SUMS>(super_rows, centre, out);
        return;
    }
    let columns = super_rows[0].width;
    let mut of_columns = vec![0.0; SUMS * columns];
    sums_of_columns::<V, T, INPUTS, SUMS>(super_rows, centre, &mut of_columns);
    for (sums, of_columns) in out.chunks_exact_mut(width).zip(of_columns.chunks_exact(columns)) {
        sums.fill(0.0);
        for part in of_columns.chunks_exact(width) {
            for (sum, of_column) in sums.iter_mut().zip(part) {
                *sum += of_column;
            }
        }
    }
    let rest = parts.map(|(_, rest)| rest);
    for row in 0..rest[0].count {
        for channel in 0..width {
            let values = rest.map(|rows| rows.row(row)[channel]);
            let terms = T::of_scalars(values, centre.map_or(0.0, |centre| centre[channel]));
            for (sum, term) in terms.into_iter().enumerate() {
                out[sum * width + channel] += f64::from(term);
            }
        }
    }
}

fn sums_of_columns<V: Lanes, T: Terms<INPUTS, SUMS>, const INPUTS: usize, const SUMS: usize>(
    inputs: [Rows<'_>; INPUTS],
    centre: Option<&[f32]>,
    out: &mut [f64],
) {
    let all = inputs[0].width;
    let mut strip_centre = [0.0; STRIP];
    for first in (0..all).step_by(STRIP) {
        let width = STRIP.min(all - first);
        if let Some(centre) = centre {
            repeat(centre, first, &mut strip_centre[..width]);
        }
        let mut sums = [[0.0; STRIP]; SUMS];
        for begin in (0..inputs[0].count).step_by(BLOCK_ROWS) {
            let rows = begin..(begin + BLOCK_ROWS).min(inputs[0].count);
            let strip = Strip { inputs, first, width, centre: &strip_centre };
            strip.add_block::<V, T, SUMS>(rows, &mut sums);
        }
        for (row, sums) in out.chunks_exact_mut(all).zip(&sums) {
            row[first..first + width].copy_from_slice(&sums[..width]);
        }
    }
}

/// Some columns of all rows.
struct Strip<'a, const INPUTS: usize> {
    inputs: [Rows<'a>; INPUTS],
    first: usize,
    width: usize,
    centre: &'a [f32; STRIP],
}

impl<'a, const INPUTS: usize> Strip<'a, INPUTS> {
    fn row(&self, row: usize) -> [&'a [[f32; 4]]; INPUTS] {
        self.inputs.map(|rows| rows.vectors(row, self.first, self.width))
    }

    /// Adds the rows to the sums.
    #[inline(always)]
    fn add_block<V: Lanes, T: Terms<INPUTS, SUMS>, const SUMS: usize>(
        &self,
        rows: core::ops::Range<usize>,
        sums: &mut [[f64; STRIP]; SUMS],
    ) {
        let width = self.width / 4;
        let centre = &self.centre.as_chunks::<4>().0[..width];
        let mut in_f32 = [[[0.0; 4]; STRIP / 4]; SUMS];
        let end_of_groups = rows.start + rows.len() / 8 * 8;
        for row in (rows.start..end_of_groups).step_by(8) {
            let group: [[&[[f32; 4]]; INPUTS]; 8] = core::array::from_fn(|i| self.row(row + i));
            for i in 0..width {
                let centre = V::load(&centre[i]);
                let terms = group.map(|inputs| T::of_vectors(inputs.map(|input| V::load(&input[i])), centre));
                for sum in 0..SUMS {
                    let of_sum = terms.map(|terms| terms[sum]);
                    if T::IN_F64 {
                        add_wide::<V>(&mut sums[sum][4 * i..], pairwise_wide(of_sum));
                    } else {
                        let accumulator = &mut in_f32[sum][i];
                        (V::load(accumulator) + pairwise(of_sum)).store(accumulator);
                    }
                }
            }
        }
        for row in end_of_groups..rows.end {
            let inputs = self.row(row);
            for i in 0..width {
                let terms = T::of_vectors(inputs.map(|input| V::load(&input[i])), V::load(&centre[i]));
                for sum in 0..SUMS {
                    if T::IN_F64 {
                        add_wide::<V>(&mut sums[sum][4 * i..], terms[sum].widen());
                    } else {
                        let accumulator = &mut in_f32[sum][i];
                        (V::load(accumulator) + terms[sum]).store(accumulator);
                    }
                }
            }
        }
        if !T::IN_F64 {
            for (sums, in_f32) in sums.iter_mut().zip(&in_f32) {
                for (sum, of_block) in sums[..4 * width].iter_mut().zip(in_f32.as_flattened()) {
                    *sum += f64::from(*of_block);
                }
            }
        }
    }
}

/// The sum of eight vectors in f64, in pairs.
#[inline(always)]
pub(crate) fn pairwise_wide<V: Lanes>(terms: [V; 8]) -> [V::Doubles; 2] {
    let [a, b, c, d, e, f, g, h] = terms.map(V::widen);
    core::array::from_fn(|i| ((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (g[i] + h[i])))
}

#[inline(always)]
fn add_wide<V: Lanes>(sums: &mut [f64], [low, high]: [V::Doubles; 2]) {
    if let ([first, second, ..], _) = sums.as_chunks_mut() {
        (V::Doubles::load(first) + low).store(first);
        (V::Doubles::load(second) + high).store(second);
    }
}

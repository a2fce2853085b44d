//! Moments of rows: the block of `moments.rs` is here some rows of some columns, each column with a mean of its own.

use crate::kind::merge_moments;
use crate::moments::{moments_in_f64, pairwise};
use crate::reduce::Rows;
use crate::simd::Lanes;
use crate::super_rows::STRIP;

/// Values of a block of all columns: 64 KiB, which stay in the second-level cache between the two passes.
const BLOCK: usize = 16 * 1024;
/// Rows of a block: an accumulator takes them in eights, so that it adds at most 16 times.
const BLOCK_ROWS: core::ops::RangeInclusive<usize> = 32..=128;

/// Mean and M2 of each column of `rows`: two rows of `out`.
pub(crate) fn moments_of_rows<V: Lanes>(rows: Rows<'_>, out: &mut [f64]) {
    let (super_rows, rest) = rows.super_rows();
    if super_rows.width == rows.width {
        moments_of_columns::<V>(rows, out);
        return;
    }
    let mut columns = vec![0.0; 2 * super_rows.width];
    let mut count = 0.0;
    if super_rows.count > 0 {
        moments_of_columns::<V>(super_rows, &mut columns);
        count = fold_columns(&columns, count_of(super_rows.count), rows.width, out);
    }
    if rest.count > 0 {
        let of_rest = &mut columns[..2 * rows.width];
        moments_of_few_rows(rest, of_rest);
        merge_into(out, of_rest, count, count_of(rest.count));
    }
}

#[allow(clippy::cast_precision_loss, reason = "rows in memory are fewer than 2^53")]
fn count_of(rows: usize) -> f64 {
    rows as f64
}

/// `left = merge(left, right)` where `left` may hold nothing yet.
fn merge_into(left: &mut [f64], right: &[f64], left_count: f64, right_count: f64) {
    if left_count == 0.0 {
        left.copy_from_slice(right);
    } else {
        merge_moments(left, right, left_count, right_count);
    }
}

/// Folds the columns of super-rows, `count` values each, to the channels; returns how many values each channel has.
fn fold_columns(columns: &[f64], count: f64, channels: usize, out: &mut [f64]) -> f64 {
    let (means, m2s) = columns.split_at(columns.len() / 2);
    let mut merged = 0.0;
    let mut part = vec![0.0; 2 * channels];
    for (mean, m2) in means.chunks_exact(channels).zip(m2s.chunks_exact(channels)) {
        part[..channels].copy_from_slice(mean);
        part[channels..].copy_from_slice(m2);
        merge_into(out, &part, merged, count);
        merged += count;
    }
    merged
}

fn moments_of_few_rows(rows: Rows<'_>, out: &mut [f64]) {
    let (means, m2s) = out.split_at_mut(rows.width);
    for (channel, (mean, m2)) in means.iter_mut().zip(m2s).enumerate() {
        [*mean, *m2] = moments_in_f64((0..rows.count).map(|row| rows.row(row)[channel]));
    }
}

fn moments_of_columns<V: Lanes>(rows: Rows<'_>, out: &mut [f64]) {
    let block_rows = (BLOCK / rows.width.max(rows.channels) / 8 * 8).clamp(*BLOCK_ROWS.start(), *BLOCK_ROWS.end());
    let (means, m2s) = out.split_at_mut(rows.width);
    for first in (0..rows.width).step_by(STRIP) {
        let columns = first..(first + STRIP).min(rows.width);
        let (mut means, mut m2s) = (&mut means[columns.clone()], &mut m2s[columns.clone()]);
        for begin in (0..rows.count).step_by(block_rows) {
            let block =
                Block { rows, first_row: begin, count: block_rows.min(rows.count - begin), columns: columns.clone() };
            block.merge_moments::<V>(count_of(begin), &mut means, &mut m2s);
        }
    }
}

/// Some rows of one strip of columns.
struct Block<'a> {
    rows: Rows<'a>,
    first_row: usize,
    count: usize,
    columns: core::ops::Range<usize>,
}

impl Block<'_> {
    fn row(&self, index: usize) -> &[[f32; 4]] {
        self.rows.vectors(self.first_row + index, self.columns.start, self.columns.len())
    }

    /// Merges the moments of this block into those of the `before` values above it.
    #[allow(clippy::cast_possible_truncation, reason = "a block mean is rounded on purpose")]
    fn merge_moments<V: Lanes>(&self, before: f64, means: &mut [f64], m2s: &mut [f64]) {
        let count = count_of(self.count);
        let inverse_count = 1.0 / count;
        let (mut k, mut r, mut q) = ([0.0; STRIP], [0.0; STRIP], [0.0; STRIP]);
        self.sums::<V>(&mut k);
        for k in &mut k[..self.columns.len()] {
            *k = (f64::from(*k) * inverse_count) as f32;
        }
        self.shifted_sums::<V>(&k, &mut r, &mut q);
        let (mean_factor, m2_factor) = (count / (before + count), before * count / (before + count));
        for (i, (mean, m2)) in means.iter_mut().zip(m2s).enumerate() {
            let (r, shift) = (f64::from(r[i]), f64::from(r[i]) * inverse_count);
            let mut block = [f64::from(k[i]) + shift, f64::from(q[i]) - r * shift];
            if !q[i].is_finite() {
                let column = self.columns.start + i;
                block = moments_in_f64((0..self.count).map(|row| self.rows.row(self.first_row + row)[column]));
            }
            if before == 0.0 {
                [*mean, *m2] = block;
            } else {
                let delta = block[0] - *mean;
                *mean += delta * mean_factor;
                *m2 += block[1] + delta * delta * m2_factor;
            }
        }
    }

    /// Rows in groups of eight, and the rows that fill no group.
    fn groups(&self) -> (impl Iterator<Item = [&[[f32; 4]]; 8]>, impl Iterator<Item = &[[f32; 4]]>) {
        let whole = self.count / 8 * 8;
        let groups = (0..whole).step_by(8).map(|row| core::array::from_fn(|i| self.row(row + i)));
        (groups, (whole..self.count).map(|row| self.row(row)))
    }

    /// Σx per column, row by row as memory has them: this pass brings the block into the cache.
    fn sums<V: Lanes>(&self, sums: &mut [f32; STRIP]) {
        let sums = &mut sums.as_chunks_mut().0[..self.columns.len() / 4];
        let (groups, rest) = self.groups();
        for rows in groups {
            for (i, sum) in sums.iter_mut().enumerate() {
                (V::load(sum) + pairwise(rows.map(|row| V::load(&row[i])))).store(sum);
            }
        }
        for row in rest {
            for (sum, x) in sums.iter_mut().zip(row) {
                (V::load(sum) + V::load(x)).store(sum);
            }
        }
    }

    /// Σ(x − k) and Σ(x − k)² per column.
    fn shifted_sums<V: Lanes>(&self, k: &[f32; STRIP], r: &mut [f32; STRIP], q: &mut [f32; STRIP]) {
        let width = self.columns.len() / 4;
        let k = &k.as_chunks().0[..width];
        let (r, q) = (&mut r.as_chunks_mut().0[..width], &mut q.as_chunks_mut().0[..width]);
        let (groups, rest) = self.groups();
        for rows in groups {
            for (i, ((k, r), q)) in k.iter().zip(&mut *r).zip(&mut *q).enumerate() {
                let k = V::load(k);
                let d = rows.map(|row| V::load(&row[i]) - k);
                (V::load(r) + pairwise(d)).store(r);
                (V::load(q) + pairwise(d.map(|d| d * d))).store(q);
            }
        }
        for row in rest {
            for (((k, r), q), x) in k.iter().zip(&mut *r).zip(&mut *q).zip(row) {
                let d = V::load(x) - V::load(k);
                (V::load(r) + d).store(r);
                (V::load(q) + d * d).store(q);
            }
        }
    }
}

//! Count, mean and M2 of a batch: `stable` numerics.
//!
//! With any centre k, r = Σ(x − k) and q = Σ(x − k)² of a leaf, f32 within a block and f64 across, give mean = k + r/len and
//! M2 = q − r²/len. That is exact enough as long as k is near to the mean beside the deviation, which the two sums themselves
//! tell. If it is not, the leaf is read again with k, the rounded mean. The correction by r matters: without it the
//! running variance misses its tolerance by up to 100 times. Where squares leave the range of f32 the sums are formed in f64,
//! and also where a leaf has few values, which only the last one of a batch has.
//!
//! The first k of a plane is 0, for subtracting costs a tenth and reading a cached plane again is cheap. The first k of rows
//! is the middle of four of them, per column: among many columns there would nearly always be one to read again.
//! What is done depends on the values of the leaf alone.

use alloc::vec::Vec;

use crate::kind::Kind;
use crate::layout::LEAF_VALUES;
use crate::layout::{LINE, Rows};
use crate::reduce::count::{Count, Limits};
use crate::reduce::leaves::{self, Leaf, reduce_leaves};
use crate::reduce::sums::{Terms, sums_of_plane, sums_of_rows};
use crate::simd::Arithmetic;
use crate::simd::{Doubles, Lanes, Mask};
use crate::tree::Chan;

/// x and x².
struct Powers;

impl Powers {
    fn at<T: Arithmetic>(x: T) -> [T; 2] {
        [x, x * x]
    }
}

impl Terms<1, 2> for Powers {
    #[inline(always)]
    fn of_vectors<V: Lanes>([x]: [V; 1], _centre: V) -> [V; 2] {
        Self::at(x)
    }

    #[inline(always)]
    fn of_scalars([x]: [f32; 1], _centre: f32) -> [f32; 2] {
        Self::at(x)
    }
}

/// x − k and (x − k)².
struct ShiftedPowers;

impl Terms<1, 2> for ShiftedPowers {
    #[inline(always)]
    fn of_vectors<V: Lanes>([x]: [V; 1], centre: V) -> [V; 2] {
        Powers::at(x - centre)
    }

    #[inline(always)]
    fn of_scalars([x]: [f32; 1], centre: f32) -> [f32; 2] {
        Powers::at(x - centre)
    }
}

impl Leaf<1> for ShiftedPowers {
    const KIND: Kind = Kind::Moments;

    fn centre<V: Lanes>([x]: [Rows<'_>; 1], _given: Option<&[f32]>, centre: &mut [f32]) {
        centre_of_rows::<V>(x, centre);
    }

    #[inline(always)]
    fn are_exact<V: Lanes>(sums: [V; 2], limits: Limits<V>) -> V::Mask {
        limits.are_exact(sums)
    }

    #[inline(always)]
    fn are_finite<D: Doubles>([_, m2]: [D; 2]) -> D::Mask {
        m2.at_most(D::splat(f64::MAX))
    }

    #[inline(always)]
    fn of_sums<D: Doubles>(centre: D, sums: [D; 2], count: Count<D>) -> [D; 2] {
        let [shift, m2] = count.moments(sums);
        [centre + shift, m2]
    }

    #[inline(always)]
    fn merge<D: Doubles>(left: [D; 2], right: [D; 2], chan: Chan<D>) -> [D; 2] {
        chan.merge(left, right)
    }

    fn reduce_leaf<V: Lanes>([x]: [Rows<'_>; 1], _given: Option<&[f32]>, out: &mut [f64]) {
        reduce_rows::<V>(x, out);
    }
}

/// Mean and M2 of planes of `length` values.
pub(crate) fn reduce_planes<V: Lanes>(x: &[f32], length: usize, out: &mut [f64]) {
    let count = Count::of(length);
    let (means, m2s) = out.split_at_mut(out.len() / 2);
    for ((plane, mean), m2) in x.chunks_exact(length).zip(means).zip(m2s) {
        let moments = count.moments(sums_of_plane::<V, Powers, 1, 2>([plane], 0.0));
        // Where all squares are 0 the values are, or else too small for their squares.
        let is_exact = count.is_exact(moments) && (moments[1] > 0.0 || plane[0] == 0.0);
        [*mean, *m2] = if is_exact { moments } else { moments_of_shifted_plane::<V>(plane, moments[0], count) };
    }
}

/// Mean and M2 of each column of rows.
pub(crate) fn reduce_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    if x.count < LEAF_VALUES {
        reduce_few_rows::<V>(x, out);
        return;
    }
    let count = Count::of(x.count).near();
    let mut centre = vec![0.0; x.width];
    centre_of_rows::<V>(x, &mut centre);
    sums_of_rows::<V, ShiftedPowers, 1, 2>([x], Some(&centre), out);
    let (shifts, m2s) = out.split_at_mut(x.width);
    let mut all_exact = true;
    for (column, (shift, m2)) in shifts.iter_mut().zip(&mut *m2s).enumerate() {
        [*shift, *m2] = count.moments([*shift, *m2]);
        all_exact &= is_exact_column(x, count, centre[column], column, [*shift, *m2]);
    }
    if !all_exact {
        shift_inexact_columns::<V>(x, &mut centre, shifts, m2s);
    }
    for (shift, centre) in shifts.iter_mut().zip(centre) {
        *shift += f64::from(centre);
    }
}

/// Whether the moments of a column relative to its centre are exact enough.
fn is_exact_column(x: Rows<'_>, count: Count<f64>, centre: f32, column: usize, [shift, m2]: [f64; 2]) -> bool {
    // Where all squares are 0 the deviations are, or else too small for their squares. Several leaves at once do not look.
    let sees_all = || m2 > 0.0 || leaves::fits(x.channels, x.count) || x.row(0)[column] == centre;
    count.is_exact([shift, m2]) && sees_all()
}

/// Mean and M2 of each column of so few rows that a rounding of f32 in a single one would show in the result: in f64, relative
/// to the first row.
fn reduce_few_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    if x.count == 0 {
        out.fill(0.0);
        return;
    }
    let count = Count::of(x.count);
    let of_pairs = count.map(V::Doubles::splat);
    let rows: Vec<&[f32]> = (0..x.count).map(|row| x.row(row)).collect();
    let vectors: Vec<&[[f32; 4]]> = rows.iter().map(|row| row.as_chunks().0).collect();
    let (means, m2s) = out.split_at_mut(x.width);
    let exactly = |column: usize| count.moments_in_f64(rows.iter().map(|row| row[column]));
    for i in 0..x.width / 4 {
        let first = V::load(&vectors[0][i]).widen();
        let mut sums = [[V::Doubles::zero(); 2]; 2];
        for vectors in &vectors[1..] {
            let values = V::load(&vectors[i]).widen();
            for half in 0..2 {
                let d = values[half] - first[half];
                sums[half] = [sums[half][0] + d, sums[half][1] + d * d];
            }
        }
        for half in 0..2 {
            let [shift, m2] = of_pairs.moments(sums[half]);
            let column = 4 * i + 2 * half;
            if let (Some(mean_slot), Some(m2_slot)) =
                (means[column..].first_chunk_mut(), m2s[column..].first_chunk_mut())
            {
                (first[half] + shift).store(mean_slot);
                m2.store(m2_slot);
            }
            if !m2.at_most(V::Doubles::splat(f64::MAX)).all() {
                for column in column..column + 2 {
                    [means[column], m2s[column]] = exactly(column);
                }
            }
        }
    }
    for column in x.width / 4 * 4..x.width {
        [means[column], m2s[column]] = exactly(column);
    }
}

/// Mean and M2 of each column of rows that make [`LEAVES`] leaves.
pub(crate) fn reduce_leaf_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    reduce_leaves::<V, ShiftedPowers, 1>([x], None, out);
}

/// Rows for each four that a centre is taken from: reading them again is then a hundredth of the work at most.
pub(crate) const ROWS_PER_MIDDLE: usize = 512;
/// Fours at most.
const MOST_MIDDLES: usize = 8;

/// The middle of four rows that lie apart, per column: the mean of the second and the third in size, so that one outlier does
/// not matter. Of many rows the mean of several such middles: the nearer the centre, the less is lost.
fn centre_of_rows<V: Lanes>(x: Rows<'_>, centre: &mut [f32]) {
    if x.count == 0 {
        return;
    }
    let middles = (x.count / ROWS_PER_MIDDLE).clamp(1, MOST_MIDDLES);
    if middles == 1 {
        let rows = [0, 1, 2, 3].map(|quarter| x.row(quarter * x.count / 4));
        take_middles::<V>(rows, centre, |_, middle| middle);
        return;
    }
    centre.fill(0.0);
    #[allow(clippy::cast_precision_loss, reason = "the number is small")]
    let part = V::splat(1.0 / middles as f32);
    for number in 0..middles {
        let rows = [0, 1, 2, 3].map(|quarter| x.row((quarter * middles + number) * x.count / (4 * middles)));
        take_middles::<V>(rows, centre, |sum, middle| sum + middle * part);
    }
}

/// Puts the middle of four rows together with what `centre` holds, per column.
#[inline(always)]
fn take_middles<V: Lanes>(rows: [&[f32]; 4], centre: &mut [f32], combine: impl Fn(V, V) -> V) {
    let rows = rows.map(|row| &row[..centre.len()]);
    let (vectors, rest) = centre.as_chunks_mut::<4>();
    let [a, b, c, d] = rows.map(|row| &row.as_chunks().0[..vectors.len()]);
    for (i, centre) in vectors.iter_mut().enumerate() {
        let middle = middle([V::load(&a[i]), V::load(&b[i]), V::load(&c[i]), V::load(&d[i])]);
        combine(V::load(centre), middle).store(centre);
    }
    for (i, centre) in (4 * vectors.len()..).zip(rest) {
        let middle = middle(rows.map(|row| V::splat(row[i])));
        [*centre, ..] = combine(V::splat(*centre), middle).to_array();
    }
}

#[inline(always)]
fn middle<V: Lanes>([a, b, c, d]: [V; 4]) -> V {
    let (low, high) = (a.smaller(b).larger(c.smaller(d)), a.larger(b).smaller(c.larger(d)));
    (low + high) * V::splat(0.5)
}

impl Count<f64> {
    /// Of values whose f32 sums leave the range of f32, and of values that are not finite: the mean is then what exact
    /// arithmetic gives. The centre is the first value, so that equal ones have the moments [first, 0].
    #[cold]
    #[inline(never)]
    fn moments_in_f64(self, values: impl Iterator<Item = f32> + Clone) -> [f64; 2] {
        let first = values.clone().next().map_or(0.0, f64::from);
        let shifted = values.clone().map(|x| f64::from(x) - first);
        let [shift, m2] = self.moments(shifted.fold([0.0; 2], |[sum, squares], d| [sum + d, squares + d * d]));
        if m2.is_finite() { [first + shift, m2] } else { [values.map(f64::from).sum::<f64>() * self.inverse, f64::NAN] }
    }
}

#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "k is rounded on purpose")]
fn moments_of_shifted_plane<V: Lanes>(plane: &[f32], mean: f64, count: Count<f64>) -> [f64; 2] {
    let k = mean as f32;
    let [shift, m2] = count.moments(sums_of_plane::<V, ShiftedPowers, 1, 2>([plane], k));
    if count.is_exact_at_mean(m2) { [f64::from(k) + shift, m2] } else { count.moments_in_f64(plane.iter().copied()) }
}

/// Computes the moments of inexact columns anew, `shifts` being their means without the centre. Columns that share a line of
/// cache are read together, so that one column among many does not cost as much as all; super-rows cannot be cut.
#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "k is rounded on purpose")]
fn shift_inexact_columns<V: Lanes>(x: Rows<'_>, centre: &mut [f32], shifts: &mut [f64], m2s: &mut [f64]) {
    let count = Count::of(x.count).near();
    let width = if x.can_be_cut() { LINE.min(x.width) } else { x.width };
    let mut sums = vec![0.0; 2 * width];
    let parts = centre.chunks_mut(width).zip(shifts.chunks_mut(width)).zip(m2s.chunks_mut(width));
    for (first, ((centre, shifts), m2s)) in (0..).step_by(width).zip(parts) {
        let columns = x.columns(first, shifts.len());
        let is_exact: Vec<bool> = (0..columns.width)
            .map(|column| is_exact_column(columns, count, centre[column], column, [shifts[column], m2s[column]]))
            .collect();
        if is_exact.iter().all(|is_exact| *is_exact) {
            continue;
        }
        let means: Vec<f32> = centre.iter().zip(&*shifts).map(|(k, shift)| (f64::from(*k) + shift) as f32).collect();
        let sums = &mut sums[..2 * columns.width];
        sums_of_rows::<V, ShiftedPowers, 1, 2>([columns], Some(&means), sums);
        for (i, mean) in means.into_iter().enumerate() {
            if !is_exact[i] {
                let moments = count.moments([sums[i], sums[columns.width + i]]);
                let values = (0..columns.count).map(|row| columns.row(row)[i]);
                let is_exact = count.is_exact_at_mean(moments[1]);
                centre[i] = if is_exact { mean } else { 0.0 };
                [shifts[i], m2s[i]] = if is_exact { moments } else { count.moments_in_f64(values) };
            }
        }
    }
}

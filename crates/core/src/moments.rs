//! Count, mean and M2 of a batch: `stable` numerics.
//!
//! With any centre k, r = Σ(x − k) and q = Σ(x − k)² of a leaf, f32 within a block and f64 across, give mean = k + r/len and
//! M2 = q − r²/len. That is exact enough as long as k is near to the mean beside the deviation, which the two sums themselves
//! tell. If it is not, the leaf is read again with k, the rounded mean. The correction by r matters: without it the
//! running variance misses its tolerance by up to 100 times.
//!
//! The first k of a plane is 0, for subtracting costs a tenth and reading a cached plane again is cheap. The first k of rows
//! is the middle of four of them, per column: among many columns there would nearly always be one to read again.
//! What is done depends on the values of the leaf alone.

use alloc::vec::Vec;

use crate::elementwise::Arithmetic;
use crate::error::KernelError;
use crate::kind::{Chan, Kind, merge_moments};
use crate::layout::Layout;
use crate::leaves::{LEAVES, Leaf, reduce_leaves};
use crate::partial::Partial;
use crate::reduce::{Inputs, Reduction};
use crate::rows::{LINE, Rows};
use crate::simd::{Doubles, Lanes, Native};
use crate::sums::{Terms, sums_of_plane, sums_of_rows};

/// Partial moments of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If `x` is not as long as the layout says.
pub fn moments(x: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    Reduction::<Native>::new(Kind::Moments, &[]).partial(layout, Inputs::of(x), first_sample)
}

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
    fn centre<V: Lanes>([x]: [Rows<'_>; 1], _given: Option<&[f32]>, centre: &mut [f32]) {
        centre_of_rows::<V>(x, centre);
    }

    #[inline(always)]
    fn of_sums<D: Doubles>(centre: D, sums: [D; 2], count: Count<D>) -> ([D; 2], D::Mask) {
        let [shift, m2] = count.moments(sums);
        ([centre + shift, m2], count.are_exact([shift, m2]))
    }

    #[inline(always)]
    fn merge<D: Doubles>(left: [D; 2], right: [D; 2], chan: Chan<D>) -> [D; 2] {
        chan.merge(left, right)
    }

    #[cold]
    #[inline(never)]
    fn reduce_inexact<V: Lanes>([x]: [Rows<'_>; 1], means: &mut [f64], m2s: &mut [f64]) {
        let (count, width) = (x.count / LEAVES, x.width);
        let [mut a, b, mut c, d] = core::array::from_fn(|leaf| {
            let mut moments = vec![0.0; 2 * width];
            reduce_rows::<V>(x.rows(leaf * count, count), &mut moments);
            moments
        });
        let values = Count::of(count).values;
        merge_moments(&mut a, &b, values, values);
        merge_moments(&mut c, &d, values, values);
        merge_moments(&mut a, &c, 2.0 * values, 2.0 * values);
        means.copy_from_slice(&a[..width]);
        m2s.copy_from_slice(&a[width..]);
    }
}

/// Mean and M2 of planes of `length` values.
pub(crate) fn reduce_planes<V: Lanes>(x: &[f32], length: usize, out: &mut [f64]) {
    let count = Count::of(length);
    let (means, m2s) = out.split_at_mut(out.len() / 2);
    for ((plane, mean), m2) in x.chunks_exact(length).zip(means).zip(m2s) {
        let moments = count.moments(sums_of_plane::<V, Powers, 1, 2>([plane], 0.0));
        [*mean, *m2] =
            if count.is_exact(moments) { moments } else { moments_of_shifted_plane::<V>(plane, moments[0], count) };
    }
}

/// Mean and M2 of each column of rows.
pub(crate) fn reduce_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    let count = Count::of(x.count).near();
    let mut centre = vec![0.0; x.width];
    centre_of_rows::<V>(x, &mut centre);
    sums_of_rows::<V, ShiftedPowers, 1, 2>([x], Some(&centre), out);
    let (shifts, m2s) = out.split_at_mut(x.width);
    let mut all_exact = true;
    for (shift, m2) in shifts.iter_mut().zip(&mut *m2s) {
        [*shift, *m2] = count.moments([*shift, *m2]);
        all_exact &= count.is_exact([*shift, *m2]);
    }
    if !all_exact {
        shift_inexact_columns::<V>(x, &mut centre, shifts, m2s);
    }
    for (shift, centre) in shifts.iter_mut().zip(centre) {
        *shift += f64::from(centre);
    }
}

/// Mean and M2 of each column of rows that make [`LEAVES`] leaves.
pub(crate) fn reduce_leaf_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    reduce_leaves::<V, ShiftedPowers, 1>([x], None, out);
}

/// The middle of four rows that lie apart, per column: the mean of the second and the third in size, so that one outlier does
/// not matter.
fn centre_of_rows<V: Lanes>(x: Rows<'_>, centre: &mut [f32]) {
    if x.count == 0 {
        return;
    }
    let rows = [0, 1, 2, 3].map(|quarter| &x.row(quarter * x.count / 4)[..centre.len()]);
    let (vectors, rest) = centre.as_chunks_mut::<4>();
    let [a, b, c, d] = rows.map(|row| &row.as_chunks().0[..vectors.len()]);
    for (i, centre) in vectors.iter_mut().enumerate() {
        middle([V::load(&a[i]), V::load(&b[i]), V::load(&c[i]), V::load(&d[i])]).store(centre);
    }
    for (i, centre) in (4 * vectors.len()..).zip(rest) {
        [*centre, ..] = middle(rows.map(|row| V::splat(row[i]))).to_array();
    }
}

#[inline(always)]
fn middle<V: Lanes>([a, b, c, d]: [V; 4]) -> V {
    let (low, high) = (a.smaller(b).larger(c.smaller(d)), a.larger(b).smaller(c.larger(d)));
    (low + high) * V::splat(0.5)
}

/// How many values there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count<T> {
    pub(crate) values: T,
    inverse: T,
    /// The square of what the mean may be beside the deviation, times `values`.
    limit: T,
}

impl<T: Arithmetic> Count<T> {
    pub(crate) fn map<U>(self, convert: impl Fn(T) -> U) -> Count<U> {
        Count { values: convert(self.values), inverse: convert(self.inverse), limit: convert(self.limit) }
    }

    /// Mean and M2 from Σx and Σx².
    #[inline(always)]
    fn moments(self, [sum, sum_of_squares]: [T; 2]) -> [T; 2] {
        let mean = sum * self.inverse;
        [mean, sum_of_squares - sum * mean]
    }
}

impl<D: Doubles> Count<D> {
    /// [`Count::is_exact`] of two channels.
    #[inline(always)]
    fn are_exact(self, [mean, m2]: [D; 2]) -> D::Mask {
        (mean * mean * self.limit).at_most(m2) & m2.at_most(D::splat(f64::MAX))
    }
}

impl Count<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a leaf has fewer than 2^53 values")]
    pub(crate) fn of(values: usize) -> Self {
        Self { values: values as f64, inverse: 1.0 / values as f64, limit: values as f64 }
    }

    /// The same where the centre has been chosen near the mean: among few values it may by chance be as far as two deviations
    /// away, at the price of two bits.
    pub(crate) fn near(self) -> Self {
        Self { limit: 0.25 * self.values, ..self }
    }

    /// Whether M2 is exact enough: not where the mean is too large beside the deviation, or something has overflowed.
    fn is_exact(self, [mean, m2]: [f64; 2]) -> bool {
        mean * mean * self.limit <= m2 && m2 <= f64::MAX
    }

    /// Of values whose f32 sums overflow, and of values that are not finite: the mean is then what it is in PyTorch.
    fn moments_in_f64(self, values: impl Iterator<Item = f32> + Clone) -> [f64; 2] {
        let mean = values.clone().map(f64::from).sum::<f64>() * self.inverse;
        let m2 = values.map(|x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum();
        [mean, m2]
    }
}

#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "k is rounded on purpose")]
fn moments_of_shifted_plane<V: Lanes>(plane: &[f32], mean: f64, count: Count<f64>) -> [f64; 2] {
    let k = mean as f32;
    let [shift, m2] = count.moments(sums_of_plane::<V, ShiftedPowers, 1, 2>([plane], k));
    if m2.is_finite() { [f64::from(k) + shift, m2] } else { count.moments_in_f64(plane.iter().copied()) }
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
        if shifts.iter().zip(&*m2s).all(|(shift, m2)| count.is_exact([*shift, *m2])) {
            continue;
        }
        let columns = x.columns(first, shifts.len());
        let means: Vec<f32> = centre.iter().zip(&*shifts).map(|(k, shift)| (f64::from(*k) + shift) as f32).collect();
        let sums = &mut sums[..2 * columns.width];
        sums_of_rows::<V, ShiftedPowers, 1, 2>([columns], Some(&means), sums);
        for (i, mean) in means.into_iter().enumerate() {
            if !count.is_exact([shifts[i], m2s[i]]) {
                let moments = count.moments([sums[i], sums[columns.width + i]]);
                let values = (0..columns.count).map(|row| columns.row(row)[i]);
                let is_finite = moments[1].is_finite();
                centre[i] = if is_finite { mean } else { 0.0 };
                [shifts[i], m2s[i]] = if is_finite { moments } else { count.moments_in_f64(values) };
            }
        }
    }
}

//! Count, mean and M2 of a batch: `stable` numerics.
//!
//! A leaf is first summed as it is: Σx and Σx², f32 within a block, f64 across. That is exact enough when the mean is no
//! larger than the deviation, which the two sums themselves tell. If it is larger, the leaf is read again: with k, the
//! rounded mean, r = Σ(x − k) and q = Σ(x − k)² give mean = k + r/len and M2 = q − r²/len. The correction by r matters:
//! without it the running variance misses its tolerance by up to 100 times. Which way is taken depends on the values of the
//! leaf alone.

use crate::elementwise::Arithmetic;
use crate::error::KernelError;
use crate::kind::Kind;
use crate::layout::Layout;
use crate::partial::Partial;
use crate::reduce::{Inputs, Reduction};
use crate::rows::Rows;
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

/// Mean and M2 of planes of `length` values.
pub(crate) fn reduce_planes<V: Lanes>(x: &[f32], length: usize, out: &mut [f64]) {
    let count = Count::of(length);
    let (means, m2s) = out.split_at_mut(out.len() / 2);
    for ((plane, mean), m2) in x.chunks_exact(length).zip(means).zip(m2s) {
        let [sum, sum_of_squares] = sums_of_plane::<V, Powers, 1, 2>([plane], 0.0);
        let moments = count.moments(sum, sum_of_squares);
        [*mean, *m2] =
            if count.is_exact(moments) { moments } else { moments_of_shifted_plane::<V>(plane, moments[0], count) };
    }
}

/// Mean and M2 of each column of rows.
pub(crate) fn reduce_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    let count = Count::of(x.count);
    sums_of_rows::<V, Powers, 1, 2>([x], None, out);
    let (means, m2s) = out.split_at_mut(x.width);
    let ((mean_pairs, mean_rest), (m2_pairs, m2_rest)) = (means.as_chunks_mut(), m2s.as_chunks_mut());
    let pair_count = count.map(V::Doubles::splat);
    let mut all_exact = true;
    for (mean, m2) in mean_pairs.iter_mut().zip(m2_pairs) {
        let moments = pair_count.moments(V::Doubles::load(mean), V::Doubles::load(m2));
        let squared_mean = moments[0] * moments[0] * pair_count.values;
        all_exact &= squared_mean.all_at_most(moments[1]) & moments[1].all_at_most(V::Doubles::splat(f64::MAX));
        moments[0].store(mean);
        moments[1].store(m2);
    }
    for (mean, m2) in mean_rest.iter_mut().zip(m2_rest) {
        let moments = count.moments(*mean, *m2);
        all_exact &= count.is_exact(moments);
        [*mean, *m2] = moments;
    }
    if !all_exact {
        shift_inexact_columns::<V>(x, means, m2s);
    }
}

/// How many values there are.
#[derive(Debug, Clone, Copy)]
struct Count<T> {
    values: T,
    inverse: T,
}

impl<T: Arithmetic> Count<T> {
    fn map<U>(self, convert: impl Fn(T) -> U) -> Count<U> {
        Count { values: convert(self.values), inverse: convert(self.inverse) }
    }

    /// Mean and M2 from Σx and Σx².
    #[inline(always)]
    fn moments(self, sum: T, sum_of_squares: T) -> [T; 2] {
        let mean = sum * self.inverse;
        [mean, sum_of_squares - sum * mean]
    }
}

impl Count<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a leaf has fewer than 2^53 values")]
    fn of(values: usize) -> Self {
        Self { values: values as f64, inverse: 1.0 / values as f64 }
    }

    /// Whether M2 is as exact as it can be: not where the mean is larger than the deviation, or something has overflowed.
    fn is_exact(self, [mean, m2]: [f64; 2]) -> bool {
        mean * mean * self.values <= m2 && m2 <= f64::MAX
    }

    /// Mean and M2 from k, r and q; none where a f32 sum has overflowed or a value is not finite.
    fn shifted_moments(self, k: f32, [r, q]: [f64; 2]) -> Option<[f64; 2]> {
        let shift = r * self.inverse;
        q.is_finite().then_some([f64::from(k) + shift, q - r * shift])
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
    let sums = sums_of_plane::<V, ShiftedPowers, 1, 2>([plane], k);
    count.shifted_moments(k, sums).unwrap_or_else(|| count.moments_in_f64(plane.iter().copied()))
}

/// Computes the moments of inexact columns anew. Columns that share a line of cache are read together, so that one column
/// among many does not cost as much as all; super-rows cannot be cut.
#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "k is rounded on purpose")]
fn shift_inexact_columns<V: Lanes>(x: Rows<'_>, means: &mut [f64], m2s: &mut [f64]) {
    let count = Count::of(x.count);
    let width = if x.can_be_cut() { 16.min(x.width) } else { x.width };
    let mut sums = vec![0.0; 2 * width];
    for (first, (means, m2s)) in (0..).step_by(width).zip(means.chunks_mut(width).zip(m2s.chunks_mut(width))) {
        if means.iter().zip(&*m2s).all(|(mean, m2)| count.is_exact([*mean, *m2])) {
            continue;
        }
        let columns = x.columns(first, means.len());
        let centre: Vec<f32> = means.iter().map(|mean| *mean as f32).collect();
        let sums = &mut sums[..2 * columns.width];
        sums_of_rows::<V, ShiftedPowers, 1, 2>([columns], Some(&centre), sums);
        for (i, k) in centre.iter().enumerate() {
            if !count.is_exact([means[i], m2s[i]]) {
                let values = (0..columns.count).map(|row| columns.row(row)[i]);
                [means[i], m2s[i]] = count
                    .shifted_moments(*k, [sums[i], sums[columns.width + i]])
                    .unwrap_or_else(|| count.moments_in_f64(values));
            }
        }
    }
}

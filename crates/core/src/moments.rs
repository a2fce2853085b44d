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
    let inverse_count = inverse(length);
    let (means, m2s) = out.split_at_mut(out.len() / 2);
    for ((plane, mean), m2) in x.chunks_exact(length).zip(means).zip(m2s) {
        let [sum, sum_of_squares] = sums_of_plane::<V, Powers, 1, 2>([plane], 0.0);
        let moments = Unshifted::of(sum, sum_of_squares, inverse_count);
        [*mean, *m2] = if moments.is_exact() {
            [moments.mean, moments.m2]
        } else {
            moments_of_shifted_plane::<V>(plane, moments.mean, inverse_count)
        };
    }
}

/// Mean and M2 of each column of rows.
pub(crate) fn reduce_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    let inverse_count = inverse(x.count);
    sums_of_rows::<V, Powers, 1, 2>([x], None, out);
    let (means, m2s) = out.split_at_mut(x.width);
    let ((means, mean), (m2s, m2)) = (means.as_chunks_mut(), m2s.as_chunks_mut());
    let mut all_exact = true;
    for (sum, sum_of_squares) in means.iter_mut().zip(m2s) {
        let pair =
            Unshifted::of(V::Doubles::load(sum), V::Doubles::load(sum_of_squares), V::Doubles::splat(inverse_count));
        all_exact &= pair.squared_sum.all_at_most(pair.m2) & pair.m2.all_at_most(V::Doubles::splat(f64::MAX));
        pair.mean.store(sum);
        pair.m2.store(sum_of_squares);
    }
    for (sum, sum_of_squares) in mean.iter_mut().zip(m2) {
        let single = Unshifted::of(*sum, *sum_of_squares, inverse_count);
        all_exact &= single.is_exact();
        (*sum, *sum_of_squares) = (single.mean, single.m2);
    }
    if !all_exact {
        moments_of_some_shifted_rows::<V>(x, out);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a leaf has fewer than 2^53 values")]
fn inverse(count: usize) -> f64 {
    1.0 / count as f64
}

/// Mean and M2 from Σx and Σx².
struct Unshifted<T> {
    mean: T,
    m2: T,
    /// n·mean².
    squared_sum: T,
}

impl<T: Arithmetic> Unshifted<T> {
    #[inline(always)]
    fn of(sum: T, sum_of_squares: T, inverse_count: T) -> Self {
        let mean = sum * inverse_count;
        let squared_sum = sum * mean;
        Self { mean, m2: sum_of_squares - squared_sum, squared_sum }
    }
}

impl Unshifted<f64> {
    /// Whether M2 is as exact as it can be: not where the mean is larger than the deviation, or something has overflowed.
    fn is_exact(&self) -> bool {
        self.squared_sum <= self.m2 && self.m2 <= f64::MAX
    }
}

/// Mean and M2 from k, r and q; none where a f32 sum has overflowed or a value is not finite.
fn shifted(k: f32, [r, q]: [f64; 2], inverse_count: f64) -> Option<[f64; 2]> {
    let shift = r * inverse_count;
    q.is_finite().then_some([f64::from(k) + shift, q - r * shift])
}

#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "k is rounded on purpose")]
fn moments_of_shifted_plane<V: Lanes>(plane: &[f32], mean: f64, inverse_count: f64) -> [f64; 2] {
    let k = mean as f32;
    shifted(k, sums_of_plane::<V, ShiftedPowers, 1, 2>([plane], k), inverse_count)
        .unwrap_or_else(|| moments_in_f64(plane.iter().copied(), inverse_count))
}

/// `out` holds what was computed of the rows as they are, right for some channels.
#[cold]
#[inline(never)]
#[allow(clippy::cast_possible_truncation, reason = "k is rounded on purpose")]
fn moments_of_some_shifted_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    let inverse_count = inverse(x.count);
    let mut sums = vec![0.0; out.len()];
    sums_of_rows::<V, Powers, 1, 2>([x], None, &mut sums);
    let centre: Vec<f32> = out[..x.width].iter().map(|mean| *mean as f32).collect();
    let mut shifted_sums = vec![0.0; out.len()];
    sums_of_rows::<V, ShiftedPowers, 1, 2>([x], Some(&centre), &mut shifted_sums);
    for (channel, k) in centre.iter().enumerate() {
        let row = x.width + channel;
        if !Unshifted::of(sums[channel], sums[row], inverse_count).is_exact() {
            let column = || (0..x.count).map(|i| x.row(i)[channel]);
            [out[channel], out[row]] = shifted(*k, [shifted_sums[channel], shifted_sums[row]], inverse_count)
                .unwrap_or_else(|| moments_in_f64(column(), inverse_count));
        }
    }
}

/// Of values whose f32 sums overflow, and of values that are not finite: the mean is then what it is in PyTorch.
fn moments_in_f64(values: impl Iterator<Item = f32> + Clone, inverse_count: f64) -> [f64; 2] {
    let mean = values.clone().map(f64::from).sum::<f64>() * inverse_count;
    let m2 = values.map(|x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum();
    [mean, m2]
}

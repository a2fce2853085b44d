//! Σdy and Σdy·(x − mean): what the backward pass needs of the whole batch.
//!
//! Like the moments, accumulated in f32 within a block and in f64 across blocks, and in f64 alone where products leave the range of
//! f32. Only `mean_hi` is subtracted here; `mean_lo` is taken into account once, at the end:
//! Σdy·(x − mean) = Σdy·(x − hi) − lo·Σdy. Where x − hi itself could leave the range of f32 it is multiplied with a power of two,
//! and the sum divided by it at the end.

use crate::kind::Kind;
use crate::layout::Rows;
use crate::reduce::count::{Count, Limits};
use crate::reduce::inputs::Inputs;
use crate::reduce::leaves::{Leaf, reduce_leaves};
use crate::reduce::sums::{Terms, sums_of_plane, sums_of_rows};
use crate::simd::Arithmetic;
use crate::simd::{Doubles, Lanes, Mask};
use crate::tree::Chan;

/// dy and dy·(x − hi).
struct Products;

impl Products {
    fn at<T: Arithmetic>([dy, x]: [T; 2], centre: T) -> [T; 2] {
        [dy, dy * (x - centre)]
    }
}

impl Terms<2, 2> for Products {
    #[inline(always)]
    fn of_vectors<V: Lanes>(inputs: [V; 2], centre: V) -> [V; 2] {
        Self::at(inputs, centre)
    }

    #[inline(always)]
    fn of_scalars(inputs: [f32; 2], centre: f32) -> [f32; 2] {
        Self::at(inputs, centre)
    }
}

impl Leaf<2> for Products {
    const KIND: Kind = Kind::Sums;

    fn centre<V: Lanes>(_inputs: [Rows<'_>; 2], given: Option<&[f32]>, centre: &mut [f32]) {
        if let Some(given) = given {
            centre.copy_from_slice(given);
        }
    }

    #[inline(always)]
    fn are_exact<V: Lanes>([_, sum_dy_xmu]: [V; 2], limits: Limits<V>) -> V::Mask {
        limits.are_not_small(sum_dy_xmu)
    }

    /// 0 times what is not finite is NaN.
    #[inline(always)]
    fn are_finite<D: Doubles>([sum_dy, sum_dy_xmu]: [D; 2]) -> D::Mask {
        (sum_dy * D::zero() + sum_dy_xmu * D::zero()).at_most(D::zero())
    }

    #[inline(always)]
    fn of_sums<D: Doubles>(_centre: D, sums: [D; 2], _count: Count<D>) -> [D; 2] {
        sums
    }

    #[inline(always)]
    fn merge<D: Doubles>(left: [D; 2], right: [D; 2], _chan: Chan<D>) -> [D; 2] {
        [left[0] + right[0], left[1] + right[1]]
    }

    fn reduce_leaf<V: Lanes>([dy, x]: [Rows<'_>; 2], given: Option<&[f32]>, out: &mut [f64]) {
        reduce_rows::<V>(Inputs { dy: Some(dy), x }, given, out);
    }
}

/// Whether f32 sums over so many places are exact enough: not where they have left the range of f32, nor where products may have.
fn is_exact([sum_dy, sum_dy_xmu]: [f64; 2], count: Count<f64>) -> bool {
    let is_small = sum_dy_xmu.abs() < count.least && sum_dy_xmu != 0.0;
    sum_dy.is_finite() && sum_dy_xmu.is_finite() && !is_small
}

/// Whether the sums of all channels are, at a glance: squares of what f32 sums can be do not leave the range of f64, and 0 times what
/// is not finite is NaN.
#[inline(always)]
fn are_exact<D: Doubles>(sum_dy: &[f64], sum_dy_xmu: &[f64], count: Count<f64>) -> bool {
    let ((pairs, rest), (xmu_pairs, xmu_rest)) = (sum_dy.as_chunks(), sum_dy_xmu.as_chunks());
    let [zero, least, most] = [0.0, count.least * count.least, f64::MAX].map(D::splat);
    let are_exact = pairs.iter().zip(xmu_pairs).fold(zero.at_most(zero), |are_exact, (sum_dy, sum_dy_xmu)| {
        let xmu = D::load(sum_dy_xmu);
        let square = xmu * xmu + D::load(sum_dy) * zero;
        are_exact & (least.at_most(square) & square.at_most(most) | square.at_most(zero))
    });
    are_exact.all() && rest.iter().zip(xmu_rest).all(|(sum_dy, sum_dy_xmu)| is_exact([*sum_dy, *sum_dy_xmu], count))
}

/// Computes the channels whose sums over `places` are not exact anew, in f64; `pair` has dy and x. The difference is rounded, as it
/// is where a leaf has been cut and its parts travel.
#[cold]
#[inline(never)]
fn sum_in_f64(
    [sum_dy, sum_dy_xmu]: [&mut [f64]; 2],
    places: usize,
    pair: impl Fn(usize, usize) -> [f32; 2],
    mean: Option<&[f32]>,
) {
    let count = Count::of(places);
    for (channel, (sum_dy, sum_dy_xmu)) in sum_dy.iter_mut().zip(sum_dy_xmu).enumerate() {
        if !is_exact([*sum_dy, *sum_dy_xmu], count) {
            let mean = mean.map_or(0.0, |mean| mean[channel]);
            [*sum_dy, *sum_dy_xmu] = (0..places).fold([0.0; 2], |[sum_dy, sum_dy_xmu], place| {
                let [dy, x] = pair(channel, place);
                [sum_dy + f64::from(dy), sum_dy_xmu + f64::from(dy) * f64::from(x - mean)]
            });
        }
    }
}

/// Both sums of planes of `length` values; `mean` begins with the mean of the first.
pub(crate) fn reduce_planes<V: Lanes>(inputs: Inputs<&[f32]>, mean: &[f32], length: usize, out: &mut [f64]) {
    let (dy, count) = (inputs.dy.unwrap_or_default(), Count::of(length));
    let planes = dy.chunks_exact(length).zip(inputs.x.chunks_exact(length)).zip(mean);
    let (sum_dy, sum_dy_xmu) = out.split_at_mut(out.len() / 2);
    for (((dy, x), mean), (sum_dy, sum_dy_xmu)) in planes.zip(sum_dy.iter_mut().zip(&mut *sum_dy_xmu)) {
        [*sum_dy, *sum_dy_xmu] = sums_of_plane::<V, Products, 2, 2>([dy, x], *mean);
    }
    if !are_exact::<V::Doubles>(sum_dy, sum_dy_xmu, count) {
        let place = |channel: usize, i: usize| channel * length + i;
        let pair = |channel: usize, i: usize| [dy[place(channel, i)], inputs.x[place(channel, i)]];
        sum_in_f64([sum_dy, sum_dy_xmu], length, pair, Some(mean));
    }
}

/// Both sums of each column of rows.
pub(crate) fn reduce_rows<V: Lanes>(inputs: Inputs<Rows<'_>>, mean: Option<&[f32]>, out: &mut [f64]) {
    let Some(dy) = inputs.dy else { return };
    sums_of_rows::<V, Products, 2, 2>([dy, inputs.x], mean, out);
    let (sum_dy, sum_dy_xmu) = out.split_at_mut(dy.width);
    if !are_exact::<V::Doubles>(sum_dy, sum_dy_xmu, Count::of(dy.count)) {
        let pair = |column: usize, row: usize| [dy.row(row)[column], inputs.x.row(row)[column]];
        sum_in_f64([sum_dy, sum_dy_xmu], dy.count, pair, mean);
    }
}

/// Both sums of each column of rows that make [`LEAVES`](crate::reduce::LEAVES) leaves.
pub(crate) fn reduce_leaf_rows<V: Lanes>(inputs: Inputs<Rows<'_>>, mean: Option<&[f32]>, out: &mut [f64]) {
    if let Some(dy) = inputs.dy {
        reduce_leaves::<V, Products, 2>([dy, inputs.x], mean, out);
    }
}

//! Σdy and Σdy·(x − mean): what the backward pass needs of the whole batch.
//!
//! Like the moments, accumulated in f32 within a block and in f64 across blocks. Only `mean_hi` is subtracted here;
//! `mean_lo` is taken into account once, at the end: Σdy·(x − mean) = Σdy·(x − hi) − lo·Σdy. Where the deviation is so large or so
//! small that products could leave the range of f32, x − hi is multiplied with a power of two, and the sum divided by it at
//! the end.

use crate::elementwise::Arithmetic;
use crate::error::{KernelError, expect_length};
use crate::kind::Chan;
use crate::layout::Layout;
use crate::leaves::{Leaf, reduce_leaves};
use crate::moments::{Count, Limits};
use crate::partial::Partial;
use crate::reduce::{Inputs, Reduction};
use crate::rows::Rows;
use crate::simd::{Doubles, Lanes, Native};
use crate::statistics::{STATISTICS_ROWS, Statistics};
use crate::sums::{Terms, sums_of_plane, sums_of_rows};

/// Partial backward sums of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If an argument is not as long as the layout says.
pub fn backward_reduce(
    dy: &[f32],
    x: &[f32],
    statistics: &[f32],
    layout: &Layout,
    first_sample: u64,
) -> Result<Partial, KernelError> {
    layout.expect_tensor("dy", dy)?;
    layout.expect_tensor("x", x)?;
    expect_length("statistics", statistics.len(), STATISTICS_ROWS * layout.channels())?;
    let statistics = Statistics::of(statistics);
    let scales = statistics.scales_of_sums();
    let reduction = Reduction::<Native>::of_sums(statistics.mean_hi, &scales);
    reduction.partial(layout, Inputs { dy: Some(dy), x }, first_sample)
}

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
    fn centre<V: Lanes>(_inputs: [Rows<'_>; 2], given: Option<&[f32]>, centre: &mut [f32]) {
        if let Some(given) = given {
            centre.copy_from_slice(given);
        }
    }

    const ARE_CHECKED: bool = false;

    fn are_exact<V: Lanes>(_sums: [V; 2], _limits: Limits<V>) -> V::Mask {
        V::zero().at_most(V::zero())
    }

    #[inline(always)]
    fn of_sums<D: Doubles>(_centre: D, sums: [D; 2], _count: Count<D>) -> [D; 2] {
        sums
    }

    #[inline(always)]
    fn merge<D: Doubles>(left: [D; 2], right: [D; 2], _chan: Chan<D>) -> [D; 2] {
        [left[0] + right[0], left[1] + right[1]]
    }

    fn reduce_inexact<V: Lanes>(_inputs: [Rows<'_>; 2], _sum_dy: &mut [f64], _sum_dy_xmu: &mut [f64]) {}
}

/// Both sums of planes of `length` values; `mean` begins with the mean of the first.
pub(crate) fn reduce_planes<V: Lanes>(inputs: Inputs<&[f32]>, mean: &[f32], length: usize, out: &mut [f64]) {
    let dy = inputs.dy.unwrap_or_default();
    let planes = dy.chunks_exact(length).zip(inputs.x.chunks_exact(length)).zip(mean);
    let (sum_dy, sum_dy_xmu) = out.split_at_mut(out.len() / 2);
    for (((dy, x), mean), (sum_dy, sum_dy_xmu)) in planes.zip(sum_dy.iter_mut().zip(sum_dy_xmu)) {
        [*sum_dy, *sum_dy_xmu] = sums_of_plane::<V, Products, 2, 2>([dy, x], *mean);
    }
}

/// Both sums of each column of rows.
pub(crate) fn reduce_rows<V: Lanes>(inputs: Inputs<Rows<'_>>, mean: Option<&[f32]>, out: &mut [f64]) {
    if let Some(dy) = inputs.dy {
        sums_of_rows::<V, Products, 2, 2>([dy, inputs.x], mean, out);
    }
}

/// Both sums of each column of rows that make [`LEAVES`](crate::leaves::LEAVES) leaves.
pub(crate) fn reduce_leaf_rows<V: Lanes>(inputs: Inputs<Rows<'_>>, mean: Option<&[f32]>, out: &mut [f64]) {
    if let Some(dy) = inputs.dy {
        reduce_leaves::<V, Products, 2>([dy, inputs.x], mean, out);
    }
}

//! The reductions of a shard.

use alloc::vec::Vec;

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::{Layout, leaf_samples};
use crate::partial::monoid::{Partial, cuts, end_of_samples};
use crate::reduce::{Inputs, Reduction, Walk, centre};
use crate::simd::{Lanes, Native};
use crate::statistics::{STATISTICS_ROWS, Statistics};
use crate::tree::Merged;

/// Partial moments of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If `x` is not as long as the layout says.
pub fn moments(x: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    Partial::of(&Reduction::<Native>::new(Kind::Moments, &[]), layout, Inputs::of(x), first_sample)
}

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
    Partial::of(&reduction, layout, Inputs { dy: Some(dy), x }, first_sample)
}

/// Partial Σx of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If `x` is not as long as the layout says.
pub fn total(x: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    Partial::of(&Reduction::<Native>::new(Kind::Total, &[]), layout, Inputs::of(x), first_sample)
}

/// Partial Σ(x − m)² of a shard; `centre` is m, from [`centre_of`] the merged totals of the whole batch.
///
/// # Errors
/// If an argument is not as long as the layout says.
pub fn deviations(x: &[f32], centre: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    expect_length("centre", centre.len(), layout.channels())?;
    Partial::of(&Reduction::<Native>::new(Kind::Deviations, centre), layout, Inputs::of(x), first_sample)
}

/// m = f32(Σx / n) per channel; 0 for an empty batch.
///
/// # Errors
/// [`KernelError::Kind`] if `total` is not a total.
pub fn centre_of(total: &Merged) -> Result<Vec<f32>, KernelError> {
    if total.kind != Kind::Total {
        return Err(KernelError::Kind { expected: Kind::Total, actual: total.kind });
    }
    Ok(total.values.iter().map(|sum| centre(*sum, total.count)).collect())
}

impl Partial {
    /// Reduces all samples of a batch, of the channels worked on; the first has the global number `first`.
    fn of<V: Lanes>(
        reduction: &Reduction<'_, V>,
        layout: &Layout,
        inputs: Inputs<&[f32]>,
        first: u64,
    ) -> Result<Self, KernelError> {
        let (channels, length) = (layout.worked_on(), layout.length());
        let centre = if reduction.kind.has_centre() { &reduction.centre[channels.clone()] } else { &[] };
        let mut partial = Self::empty(reduction.kind, channels.len(), length, first, centre);
        partial.samples = layout.samples() as u64;
        let end = end_of_samples(first, partial.samples, length)?;
        let leaf = leaf_samples(length);
        let cuts = cuts(first, end, leaf as u64);
        let local = |sample: u64| usize::try_from(sample - first).unwrap_or(usize::MAX);
        reduction.push_edges(layout, inputs, 0..local(cuts.head_end), &mut partial.head);
        reduction.push_edges(layout, inputs, local(cuts.tail_begin)..layout.samples(), &mut partial.tail);
        let walk = Walk::new(reduction, layout, inputs, channels);
        let first_leaf = cuts.head_end / leaf as u64;
        walk.push_leaves(local(cuts.head_end)..local(cuts.tail_begin), first_leaf, &mut partial.nodes);
        Ok(partial)
    }
}

//! Σx and Σ(x − m)² in f64 as PyTorch's CPU kernel forms them: the two rounds of `torch` numerics.

use core::marker::PhantomData;

use crate::column_sums::{Terms, pairwise_wide, sums_of_rows};
use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::partial::{Merged, Partial};
use crate::reduce::{self, Reduction, Rows};
use crate::simd::{Doubles, Lanes, Native};

/// The reduction to Σx.
pub(crate) struct Total<V>(PhantomData<V>);

impl<V> Total<V> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// The reduction to Σ f32(f32(x − m)²). Both roundings matter for equality with PyTorch.
pub(crate) struct Deviations<'a, V> {
    centre: &'a [f32],
    lanes: PhantomData<V>,
}

impl<'a, V> Deviations<'a, V> {
    pub(crate) fn from(centre: &'a [f32]) -> Self {
        Self { centre, lanes: PhantomData }
    }
}

/// Partial Σx of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If `x` is not as long as the layout says.
pub fn total(x: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    reduce::partial(&Total::<Native>::new(), layout, [x], first_sample)
}

/// Partial Σ(x − m)² of a shard; `centre` is m, from [`centre_of`] the merged totals of the whole batch.
///
/// # Errors
/// If an argument is not as long as the layout says.
pub fn deviations(x: &[f32], centre: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    expect_length("centre", centre.len(), layout.channels())?;
    reduce::partial(&Deviations::<Native>::from(centre), layout, [x], first_sample)
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

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "PyTorch rounds the mean to f32")]
pub(crate) fn centre(total: f64, count: u64) -> f32 {
    if count == 0 { 0.0 } else { (total / count as f64) as f32 }
}

/// x.
struct Value;

impl Terms<1, 1> for Value {
    const IN_F64: bool = true;

    #[inline(always)]
    fn of_vectors<V: Lanes>(inputs: [V; 1], _centre: V) -> [V; 1] {
        inputs
    }

    #[inline(always)]
    fn of_scalars(inputs: [f32; 1], _centre: f32) -> [f32; 1] {
        inputs
    }
}

/// (x − m)².
struct Deviation;

impl Terms<1, 1> for Deviation {
    const IN_F64: bool = true;

    #[inline(always)]
    fn of_vectors<V: Lanes>([x]: [V; 1], centre: V) -> [V; 1] {
        let d = x - centre;
        [d * d]
    }

    #[inline(always)]
    fn of_scalars([x]: [f32; 1], centre: f32) -> [f32; 1] {
        [(x - centre) * (x - centre)]
    }
}

impl<V: Lanes> Reduction<1> for Total<V> {
    fn kind(&self) -> Kind {
        Kind::Total
    }

    fn centre(&self) -> Option<&[f32]> {
        None
    }

    fn planes(&self, [x]: [&[f32]; 1], length: usize, _first_channel: usize, out: &mut [f64]) {
        for (plane, sum) in x.chunks_exact(length).zip(out) {
            *sum = sum_of_plane::<V, Value>(plane, 0.0);
        }
    }

    fn rows(&self, x: [Rows<'_>; 1], _first_channel: usize, _centred: bool, out: &mut [f64]) {
        sums_of_rows::<V, Value, 1, 1>(x, None, out);
    }
}

impl<V: Lanes> Reduction<1> for Deviations<'_, V> {
    fn kind(&self) -> Kind {
        Kind::Deviations
    }

    fn centre(&self) -> Option<&[f32]> {
        Some(self.centre)
    }

    fn planes(&self, [x]: [&[f32]; 1], length: usize, first_channel: usize, out: &mut [f64]) {
        for ((plane, m), sum) in x.chunks_exact(length).zip(&self.centre[first_channel..]).zip(out) {
            *sum = sum_of_plane::<V, Deviation>(plane, *m);
        }
    }

    fn rows(&self, x: [Rows<'_>; 1], first_channel: usize, centred: bool, out: &mut [f64]) {
        let centre = if centred { None } else { Some(&self.centre[first_channel..][..x[0].width]) };
        sums_of_rows::<V, Deviation, 1, 1>(x, centre, out);
    }
}

/// The sum of the terms of a plane in f64, 32 at a time.
#[inline(always)]
fn sum_of_plane<V: Lanes, T: Terms<1, 1>>(plane: &[f32], centre: f32) -> f64 {
    let (vectors, tail) = plane.as_chunks::<4>();
    let (groups, rest) = vectors.as_chunks::<8>();
    let m = V::splat(centre);
    let [mut low, mut high] = [V::Doubles::zero(); 2];
    for group in groups {
        let sums = pairwise_wide(group.each_ref().map(|x| T::of_vectors([V::load(x)], m)[0]));
        (low, high) = (low + sums[0], high + sums[1]);
    }
    for x in rest {
        let terms = T::of_vectors([V::load(x)], m)[0].widen();
        (low, high) = (low + terms[0], high + terms[1]);
    }
    tail.iter().fold((low + high).sum(), |sum, x| sum + f64::from(T::of_scalars([*x], centre)[0]))
}

//! Σx and Σ(x − m)² in f64 as PyTorch's CPU kernel forms them: the two rounds of `torch` numerics.

use crate::layout::Rows;
use crate::reduce::sums::{Terms, sums_of_plane, sums_of_rows};
use crate::simd::Lanes;

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

/// Σx of planes of `length` values.
pub(crate) fn total_of_planes<V: Lanes>(x: &[f32], length: usize, out: &mut [f64]) {
    for (plane, sum) in x.chunks_exact(length).zip(out) {
        [*sum] = sums_of_plane::<V, Value, 1, 1>([plane], 0.0);
    }
}

/// Σx of each column of rows.
pub(crate) fn total_of_rows<V: Lanes>(x: Rows<'_>, out: &mut [f64]) {
    sums_of_rows::<V, Value, 1, 1>([x], None, out);
}

/// Σ(x − m)² of planes of `length` values; `centre` begins with the m of the first.
pub(crate) fn deviations_of_planes<V: Lanes>(x: &[f32], centre: &[f32], length: usize, out: &mut [f64]) {
    for ((plane, m), sum) in x.chunks_exact(length).zip(centre).zip(out) {
        [*sum] = sums_of_plane::<V, Deviation, 1, 1>([plane], *m);
    }
}

/// Σ(x − m)² of each column of rows.
pub(crate) fn deviations_of_rows<V: Lanes>(x: Rows<'_>, centre: Option<&[f32]>, out: &mut [f64]) {
    sums_of_rows::<V, Deviation, 1, 1>([x], centre, out);
}

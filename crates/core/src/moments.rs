//! Count, mean and M2 of a batch: `stable` numerics.
//!
//! A block of values is read twice while it is cached: once for k, its rounded mean, and once for r = Σ(x − k) and
//! q = Σ(x − k)². Then mean = k + r/len and M2 = q − r²/len, in f64. The correction by r matters: without it the running
//! variance misses its tolerance by up to 100 times. Blocks are merged in f64 with Chan's formula. This file has the
//! blocks of planes; `moments_rows.rs` those of rows.

use core::marker::PhantomData;

use crate::error::KernelError;
use crate::kind::{Kind, merge_moments};
use crate::layout::Layout;
use crate::moments_rows::moments_of_rows;
use crate::partial::Partial;
use crate::reduce::{self, Reduction, Rows};
use crate::simd::{Lanes, Native};

/// Values of a block: 4 KiB, which stay in the first-level cache between the two passes. A f32 accumulator adds at most
/// 16 sums of eight of them.
const BLOCK: usize = 1024;

/// The reduction to mean and M2.
pub(crate) struct Moments<V>(PhantomData<V>);

impl<V> Moments<V> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// Partial moments of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If `x` is not as long as the layout says.
pub fn moments(x: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    reduce::partial(&Moments::<Native>::new(), layout, [x], first_sample)
}

impl<V: Lanes> Reduction<1> for Moments<V> {
    fn kind(&self) -> Kind {
        Kind::Moments
    }

    fn centre(&self) -> Option<&[f32]> {
        None
    }

    fn planes(&self, [x]: [&[f32]; 1], length: usize, _first_channel: usize, out: &mut [f64]) {
        let (means, m2s) = out.split_at_mut(out.len() / 2);
        for ((plane, mean), m2) in x.chunks_exact(length).zip(means).zip(m2s) {
            [*mean, *m2] = moments_of_plane::<V>(plane);
        }
    }

    fn rows(&self, [x]: [Rows<'_>; 1], _first_channel: usize, _centred: bool, out: &mut [f64]) {
        moments_of_rows::<V>(x, out);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a plane has fewer than 2^53 values")]
fn moments_of_plane<V: Lanes>(plane: &[f32]) -> [f64; 2] {
    let (first, others) = plane.split_at(plane.len().min(BLOCK));
    let mut merged = moments_of_block::<V>(first);
    let mut count = first.len() as f64;
    for block in others.chunks(BLOCK) {
        let moments = moments_of_block::<V>(block);
        merge_moments(&mut merged, &moments, count, block.len() as f64);
        count += block.len() as f64;
    }
    merged
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a block mean is rounded on purpose")]
fn moments_of_block<V: Lanes>(block: &[f32]) -> [f64; 2] {
    let inverse_count = 1.0 / block.len() as f64;
    let k = (f64::from(sum::<V>(block)) * inverse_count) as f32;
    let (r, q) = shifted_sums::<V>(block, k);
    if !q.is_finite() {
        return moments_in_f64(block.iter().copied());
    }
    let (r, q) = (f64::from(r), f64::from(q));
    let shift = r * inverse_count;
    [f64::from(k) + shift, q - r * shift]
}

/// Of values whose f32 sums overflow, and of values that are not finite: the mean is then what it is in PyTorch.
#[allow(clippy::cast_precision_loss, reason = "a block has fewer than 2^53 values")]
pub(crate) fn moments_in_f64(values: impl ExactSizeIterator<Item = f32> + Clone) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let m2 = values.map(|x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum();
    [mean, m2]
}

/// The sum of eight vectors, in pairs: few additions to an accumulator, so that what is lost beside a large value is little.
#[inline(always)]
pub(crate) fn pairwise<V: Lanes>([a, b, c, d, e, f, g, h]: [V; 8]) -> V {
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// Σx, 32 values at a time, in two accumulators by turns.
#[inline(always)]
fn sum<V: Lanes>(block: &[f32]) -> f32 {
    let (vectors, tail) = block.as_chunks::<4>();
    let (groups, rest) = vectors.as_chunks::<8>();
    let (mut even, mut odd) = (V::zero(), V::zero());
    for group in groups {
        (even, odd) = (odd, even + pairwise(group.each_ref().map(V::load)));
    }
    for x in rest {
        even = even + V::load(x);
    }
    tail.iter().fold((even + odd).sum(), |sum, x| sum + x)
}

/// Σ(x − k) and Σ(x − k)², likewise.
#[inline(always)]
fn shifted_sums<V: Lanes>(block: &[f32], k: f32) -> (f32, f32) {
    let (vectors, tail) = block.as_chunks::<4>();
    let (groups, rest) = vectors.as_chunks::<8>();
    let centre = V::splat(k);
    let (mut r_even, mut r_odd, mut q_even, mut q_odd) = (V::zero(), V::zero(), V::zero(), V::zero());
    for group in groups {
        let d = group.each_ref().map(|x| V::load(x) - centre);
        (r_even, r_odd) = (r_odd, r_even + pairwise(d));
        (q_even, q_odd) = (q_odd, q_even + pairwise(d.map(|d| d * d)));
    }
    for x in rest {
        let d = V::load(x) - centre;
        r_even = r_even + d;
        q_even = q_even + d * d;
    }
    let sums = ((r_even + r_odd).sum(), (q_even + q_odd).sum());
    tail.iter().map(|x| x - k).fold(sums, |(r, q), d| (r + d, q + d * d))
}

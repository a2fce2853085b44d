//! Count, mean and M2 of a batch: `stable` numerics.
//!
//! A block of at most 1024 values is read twice while it is cached: once for k, its rounded mean, and once for
//! r = Σ(x − k) and q = Σ(x − k)². Then mean = k + r/len and M2 = q − r²/len, in f64. The correction by r matters: without
//! it the running variance misses its tolerance by up to 100 times. Blocks are merged in f64 with Chan's formula.

use crate::error::KernelError;
use crate::kind::{Kind, merge_moments};
use crate::layout::Layout;
use crate::partial::Partial;
use crate::reduce::{self, Reduction, Rows};

/// Values of a block: 4 KiB, which stay in the first-level cache between the two passes.
const BLOCK: usize = 1024;

/// The reduction to mean and M2.
pub(crate) struct Moments;

/// Partial moments of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If `x` is not as long as the layout says.
pub fn moments(x: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    reduce::partial(&Moments, layout, [x], first_sample)
}

impl Reduction<1> for Moments {
    fn kind(&self) -> Kind {
        Kind::Moments
    }

    fn centre(&self) -> Option<&[f32]> {
        None
    }

    fn planes(&self, [x]: [&[f32]; 1], length: usize, _first_channel: usize, out: &mut [f64]) {
        let (means, m2s) = out.split_at_mut(out.len() / 2);
        for ((plane, mean), m2) in x.chunks_exact(length).zip(means).zip(m2s) {
            [*mean, *m2] = blocks(plane);
        }
    }

    fn rows(&self, [x]: [Rows<'_>; 1], _first_channel: usize, _centred: bool, out: &mut [f64]) {
        let mut column = Vec::with_capacity(x.count);
        let (means, m2s) = out.split_at_mut(out.len() / 2);
        for (channel, (mean, m2)) in means.iter_mut().zip(m2s).enumerate() {
            column.clear();
            column.extend((0..x.count).map(|row| x.row(row)[channel]));
            [*mean, *m2] = blocks(&column);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a plane has fewer than 2^53 values")]
fn blocks(values: &[f32]) -> [f64; 2] {
    let mut done = 0.0;
    let mut all = [0.0, 0.0];
    for values in values.chunks(BLOCK) {
        let count = values.len() as f64;
        let block = block(values);
        if done == 0.0 {
            all = block;
        } else {
            merge_moments(&mut all, &block, done, count);
        }
        done += count;
    }
    all
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a block mean is rounded on purpose")]
fn block(values: &[f32]) -> [f64; 2] {
    let count = values.len() as f64;
    let k = (f64::from(values.iter().sum::<f32>()) / count) as f32;
    let (mut r, mut q) = (0.0f32, 0.0f32);
    for x in values {
        let d = x - k;
        r += d;
        q += d * d;
    }
    let (r, q) = (f64::from(r), f64::from(q));
    [f64::from(k) + r / count, q - r * r / count]
}

//! Σx and Σ(x − m)² in f64 as PyTorch's CPU kernel forms them: the two rounds of `torch` numerics.

use crate::error::{KernelError, expect_length};
use crate::kind::Kind;
use crate::layout::Layout;
use crate::partial::{Merged, Partial};
use crate::reduce::{self, Reduction, Rows};

/// The reduction to Σx.
pub(crate) struct Total;

/// The reduction to Σ f32(f32(x − m)²). Both roundings matter for equality with PyTorch.
pub(crate) struct Deviations<'a> {
    pub(crate) centre: &'a [f32],
}

/// Partial Σx of a shard whose first sample has the global number `first_sample`.
///
/// # Errors
/// If `x` is not as long as the layout says.
pub fn total(x: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    reduce::partial(&Total, layout, [x], first_sample)
}

/// Partial Σ(x − m)² of a shard; `centre` is m, from [`centre_of`] the merged totals of the whole batch.
///
/// # Errors
/// If an argument is not as long as the layout says.
pub fn deviations(x: &[f32], centre: &[f32], layout: &Layout, first_sample: u64) -> Result<Partial, KernelError> {
    layout.expect_tensor("x", x)?;
    expect_length("centre", centre.len(), layout.channels())?;
    reduce::partial(&Deviations { centre }, layout, [x], first_sample)
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

impl Reduction<1> for Total {
    fn kind(&self) -> Kind {
        Kind::Total
    }

    fn centre(&self) -> Option<&[f32]> {
        None
    }

    fn planes(&self, [x]: [&[f32]; 1], length: usize, _first_channel: usize, out: &mut [f64]) {
        for (plane, sum) in x.chunks_exact(length).zip(out) {
            *sum = plane.iter().map(|x| f64::from(*x)).sum();
        }
    }

    fn rows(&self, [x]: [Rows<'_>; 1], _first_channel: usize, _centred: bool, out: &mut [f64]) {
        out.fill(0.0);
        for row in 0..x.count {
            for (sum, x) in out.iter_mut().zip(x.row(row)) {
                *sum += f64::from(*x);
            }
        }
    }
}

impl Reduction<1> for Deviations<'_> {
    fn kind(&self) -> Kind {
        Kind::Deviations
    }

    fn centre(&self) -> Option<&[f32]> {
        Some(self.centre)
    }

    fn planes(&self, [x]: [&[f32]; 1], length: usize, first_channel: usize, out: &mut [f64]) {
        for ((plane, m), sum) in x.chunks_exact(length).zip(&self.centre[first_channel..]).zip(out) {
            *sum = plane.iter().map(|x| f64::from((x - m) * (x - m))).sum();
        }
    }

    fn rows(&self, [x]: [Rows<'_>; 1], first_channel: usize, centred: bool, out: &mut [f64]) {
        out.fill(0.0);
        for row in 0..x.count {
            for (channel, (sum, x)) in out.iter_mut().zip(x.row(row)).enumerate() {
                let d = if centred { *x } else { x - self.centre[first_channel + channel] };
                *sum += f64::from(d * d);
            }
        }
    }
}

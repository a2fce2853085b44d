//! The update of the running statistics.
//!
//! new = (1 − momentum)·old + momentum·batch, with the variance of the batch divided by n − correction: 1 gives the unbiased
//! one of PyTorch, 0 the biased one of Keras. A batch without values changes nothing.

use core::ops::Range;

use crate::error::{KernelError, expect_channels, expect_length};
use crate::kind::Kind;
use crate::statistics::rows::Numerics;
use crate::tree::Merged;

/// Where the running statistics are read and where the updated ones go; all are C values long.
#[derive(Debug)]
pub struct Running<'a> {
    /// `running_mean` before the batch.
    pub mean: &'a [f32],
    /// `running_var` before the batch.
    pub variance: &'a [f32],
    /// `running_mean` after it.
    pub next_mean: &'a mut [f32],
    /// `running_var` after it.
    pub next_variance: &'a mut [f32],
    /// Weight of the new value, between 0 and 1.
    pub momentum: f64,
    /// What is subtracted from n in the divisor of the variance, as in `torch.var`: 1 (unbiased) or 0 (biased).
    pub correction: u32,
}

/// What a batch contributes to the running statistics of one channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    /// Mean, or m of `torch` numerics.
    pub(crate) mean: f64,
    /// M2, or Σ(x − m)² of `torch` numerics.
    pub(crate) m2: f64,
    pub(crate) count: u64,
}

impl Running<'_> {
    pub(crate) fn expect_channels(&self, channels: usize) -> Result<(), KernelError> {
        expect_length("running_mean", self.mean.len(), channels)?;
        expect_length("running_var", self.variance.len(), channels)?;
        expect_length("next running_mean", self.next_mean.len(), channels)?;
        expect_length("next running_var", self.next_variance.len(), channels)
    }

    pub(crate) fn update_channel(&mut self, channel: usize, observed: Observed, numerics: Numerics) {
        let (mean, variance) = (self.mean[channel], self.variance[channel]);
        let (next_mean, next_variance) = match numerics {
            _ if observed.count == 0 => (mean, variance),
            Numerics::Stable => stable(mean, variance, observed, self.momentum, self.correction),
            Numerics::Torch => torch(mean, variance, observed, self.momentum, self.correction),
        };
        self.next_mean[channel] = next_mean;
        self.next_variance[channel] = next_variance;
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "each result is rounded once")]
fn stable(mean: f32, variance: f32, observed: Observed, momentum: f64, correction: u32) -> (f32, f32) {
    let blend = |old: f32, new: f64| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
    let var_batch = observed.m2 * (1.0 / (observed.count as f64 - f64::from(correction)));
    (blend(mean, observed.mean), blend(variance, var_batch))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "PyTorch rounds at these places")]
fn torch(mean: f32, variance: f32, observed: Observed, momentum: f64, correction: u32) -> (f32, f32) {
    let p = momentum as f32;
    let q = 1.0 - p;
    let var_batch = observed.m2 as f32 / (observed.count - u64::from(correction)) as f32;
    let next_mean = p * observed.mean as f32 + q * mean;
    let next_variance = f64::from(p) * f64::from(var_batch) + f64::from(q * variance);
    (next_mean, next_variance as f32)
}

/// Updates the running statistics with the merged moments (`stable`) or deviations (`torch`) of a whole batch.
///
/// # Errors
/// If `merged` is of another kind or a slice is not C values long.
pub fn update_running(merged: &Merged, running: &mut Running<'_>) -> Result<(), KernelError> {
    update_running_of(0..running.mean.len(), merged, running)
}

/// [`update_running`] of some channels, which are all that `merged` holds.
///
/// # Errors
/// If `merged` is of another kind or does not hold these channels, or the slices of `running` differ in length.
pub fn update_running_of(
    channels: Range<usize>,
    merged: &Merged,
    running: &mut Running<'_>,
) -> Result<(), KernelError> {
    let all = running.mean.len();
    running.expect_channels(all)?;
    expect_channels(&channels, all)?;
    let (values, width) = (&merged.values, merged.values.len() / merged.kind.values());
    expect_length("merged", width, channels.len())?;
    for (i, channel) in channels.enumerate() {
        let (mean, m2, numerics) = match merged.kind {
            Kind::Moments => (values[i], values[width + i], Numerics::Stable),
            Kind::Deviations => (f64::from(merged.centre[i]), values[i], Numerics::Torch),
            actual => return Err(KernelError::Kind { expected: Kind::Moments, actual }),
        };
        running.update_channel(channel, Observed { mean, m2, count: merged.count }, numerics);
    }
    Ok(())
}
